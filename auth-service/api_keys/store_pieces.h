/* auth-service/api_keys/store_pieces.h: pieces of statements about keys and those above them. */
#ifndef AUTH_SERVICE_API_KEYS_STORE_PIECES_H
#define AUTH_SERVICE_API_KEYS_STORE_PIECES_H

/* A key and those above it; height counts from it. */
#define ABOVE(key)                                                                                 \
    "WITH RECURSIVE above AS ("                                                                    \
    "SELECT id, parent_id, requests_per_minute, 0 AS height FROM api_keys WHERE id = " key         \
    " UNION ALL SELECT up.id, up.parent_id, up.requests_per_minute, height + 1"                    \
    " FROM api_keys up JOIN above ON up.id = above.parent_id)"
/* The limits that a request with the key of row k counts in, smallest first. They grow upwards; of
 * keys with the same one the uppermost counts for those below it. */
#define KEY_LIMITS                                                                                 \
    "CASE WHEN k.requests_per_minute IS NULL THEN '' ELSE (" ABOVE(                                \
        "k.id") " SELECT string_agg(id || ':' || requests_per_minute, ',' ORDER BY "               \
                "requests_per_minute)"                                                             \
                " FROM (SELECT DISTINCT ON (requests_per_minute) id, requests_per_minute FROM "    \
                "above"                                                                            \
                " WHERE requests_per_minute IS NOT NULL ORDER BY requests_per_minute, height DESC" \
                " LIMIT 4) AS counted) END"

#endif
