#include "auth-service/jwt/claims.h"

static const char verification_failed[] = "token-verification-failed";

struct actor {
    struct view subject;
};
static const struct json_field actor_fields[] = {
    JSON_STRING(struct actor, subject, "sub", .required = true, .max_len = CLAIM_TEXT_MAX),
};

struct payload {
    struct view subject;
    struct view authorized_party;
    struct view issuer;
    double expires_at;
    double not_before;
    double issued_at;
    struct view status;
    struct view session_id;
    struct actor actor;
    bool has_party, has_not_before, has_issued_at;
};

static bool has_no_control_characters(struct view value, const char **problem)
{
    *problem = "must not contain control characters";
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        if (byte < ' ' || byte == 0x7f) {
            return false;
        }
    }
    return true;
}

static const struct json_field payload_fields[] = {
    JSON_STRING(struct payload, subject, "sub", .required = true, .not_empty = true,
                .max_len = CLAIM_TEXT_MAX, .check = has_no_control_characters),
    JSON_STRING(struct payload, authorized_party, "azp", JSON_PRESENT(struct payload, has_party)),
    JSON_STRING(struct payload, issuer, "iss", .required = true),
    JSON_NUMBER(struct payload, expires_at, "exp", .required = true),
    JSON_NUMBER(struct payload, not_before, "nbf", JSON_PRESENT(struct payload, has_not_before)),
    JSON_NUMBER(struct payload, issued_at, "iat", JSON_PRESENT(struct payload, has_issued_at)),
    JSON_STRING(struct payload, status, "sts"),
    JSON_STRING(struct payload, session_id, "sid", .max_len = CLAIM_TEXT_MAX,
                .check = has_no_control_characters),
    JSON_STRUCT(struct payload, actor, "act", actor_fields),
};

/* In the order in which the claims are judged. */
static const struct token_member_reason payload_reasons[] = {
    {"sub", verification_failed},    {"azp", "token-invalid-authorized-parties"},
    {"iss", "token-invalid-issuer"}, {"exp", verification_failed},
    {"nbf", verification_failed},    {"iat", verification_failed},
    {"sts", verification_failed},    {"sid", verification_failed},
    {"act", verification_failed},    {"act.sub", verification_failed},
};

/* "aud" is one name or a list of them. */
struct one_audience {
    struct view audience;
};
static const struct json_field one_audience_fields[] = {
    JSON_STRING(struct one_audience, audience, "aud", .required = true),
};
struct many_audiences {
    struct json_strings audiences;
};
static const struct json_field many_audiences_fields[] = {
    JSON_STRINGS(struct many_audiences, audiences, "aud", .required = true),
};

bool token_refuse_document(const struct json_violations *violations,
                           const struct token_member_reason *reasons, size_t reason_count,
                           struct err *err)
{
    for (size_t i = 0; i < reason_count; i++) {
        for (size_t j = 0; j < violations->count; j++) {
            if (strcmp(violations->items[j].path, reasons[i].member) == 0) {
                return token_refuse(err, reasons[i].reason);
            }
        }
    }
    return token_refuse(err, "token-invalid");
}

static bool is_authorized_party(const struct token_policy *policy, const struct payload *payload)
{
    if (policy->authorized_party_count == 0 || (!payload->has_party && policy->allow_missing_azp)) {
        return true;
    }
    for (size_t i = 0; i < policy->authorized_party_count; i++) {
        if (payload->has_party &&
            view_equal(payload->authorized_party, policy->authorized_parties[i])) {
            return true;
        }
    }
    return false;
}

static bool is_for_audience(struct view payload, const char *audience)
{
    struct err ignored;
    struct one_audience one;
    struct many_audiences many;
    AUTO(json_doc_release)
    struct json_doc *one_doc =
        json_read(payload, &JSON_SCHEMA(one_audience_fields), &one, NULL, &ignored);
    if (one_doc != NULL) {
        return view_equal(one.audience, view_of(audience));
    }
    AUTO(json_doc_release)
    struct json_doc *many_doc =
        json_read(payload, &JSON_SCHEMA(many_audiences_fields), &many, NULL, &ignored);
    for (size_t i = 0; many_doc != NULL && i < many.audiences.count; i++) {
        if (view_equal(many.audiences.items[i], view_of(audience))) {
            return true;
        }
    }
    return false;
}

static bool check_times(const struct payload *payload, double now_s, double skew_s, struct err *err)
{
    if (payload->expires_at <= now_s - skew_s) {
        return token_refuse(err, "token-expired");
    }
    if (payload->has_not_before && payload->not_before > now_s + skew_s) {
        return token_refuse(err, "token-not-active-yet");
    }
    if (payload->has_issued_at && payload->issued_at > now_s + skew_s) {
        return token_refuse(err, "token-iat-in-the-future");
    }
    return true;
}

static bool check_claims(const struct payload *payload, const struct token_policy *policy,
                         double now_s, struct err *err)
{
    if (!policy->is_oidc && view_starts_with(payload->subject, VIEW("mch_"))) {
        return token_refuse(err, "token-type-mismatch");
    }
    if (!is_authorized_party(policy, payload)) {
        return token_refuse(err, "token-invalid-authorized-parties");
    }
    if (!view_equal(payload->issuer, view_of(policy->issuer))) {
        return token_refuse(err, "token-invalid-issuer");
    }
    if (!check_times(payload, now_s, (double)policy->clock_skew_s, err)) {
        return false;
    }
    if (!policy->is_oidc && view_equal(payload->status, VIEW("pending"))) {
        return token_refuse(err, "session-pending");
    }
    return true;
}

static bool keep(const struct payload *payload, struct token_claims *claims)
{
    claims->expires_at_s = payload->expires_at;
    return view_copy(payload->subject, claims->subject, sizeof claims->subject) &&
           view_copy(payload->session_id, claims->session_id, sizeof claims->session_id) &&
           view_copy(payload->actor.subject, claims->actor, sizeof claims->actor);
}

bool token_claims_read(struct view text, const struct token_policy *policy, double now_s,
                       struct token_claims *claims, struct err *err)
{
    struct payload payload;
    struct json_violations violations;
    struct err unused;
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(text, &JSON_SCHEMA(payload_fields), &payload, &violations, &unused);
    if (doc == NULL) {
        return token_refuse_document(&violations, payload_reasons,
                                     sizeof payload_reasons / sizeof payload_reasons[0], err);
    }
    if (!check_claims(&payload, policy, now_s, err)) {
        return false;
    }
    if (policy->audience[0] != '\0' && !is_for_audience(text, policy->audience)) {
        return token_refuse(err, verification_failed);
    }
    token_organization_read(text, &claims->organization);
    return keep(&payload, claims) || token_refuse(err, verification_failed);
}
