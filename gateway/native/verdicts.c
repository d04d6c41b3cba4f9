#include "gateway/native/verdicts.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { NUMBER_TEXT_SIZE = 64 };

static const double tolerance = 1e-6;

const char *const comparator_names[] = {"lines", "exact", "words", "numbers", NULL};

static bool is_blank(char c)
{
    return isspace((unsigned char)c) != 0;
}

static struct view without_end_blanks(struct view text)
{
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static bool lines_equal(struct view output, struct view expected)
{
    output = without_end_blanks(output);
    expected = without_end_blanks(expected);
    while (output.len > 0 && expected.len > 0) {
        struct view line = without_end_blanks(view_cut(&output, '\n'));
        if (!view_equal(line, without_end_blanks(view_cut(&expected, '\n')))) {
            return false;
        }
    }
    return output.len == 0 && expected.len == 0;
}

/* Empty at the end. */
static struct view next_word(struct view *text)
{
    while (text->len > 0 && is_blank(text->ptr[0])) {
        *text = view_from(*text, 1);
    }
    struct view word = {text->ptr, 0};
    while (word.len < text->len && !is_blank(word.ptr[word.len])) {
        word.len++;
    }
    *text = view_from(*text, word.len);
    return word;
}

static bool read_number(struct view word, double *out)
{
    char text[NUMBER_TEXT_SIZE];
    char *end = NULL;
    if (!view_copy(word, text, sizeof text)) {
        return false;
    }
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static bool words_alike(struct view word, struct view expected)
{
    double value;
    double wanted;
    if (view_equal(word, expected)) {
        return true;
    }
    if (!read_number(word, &value) || !read_number(expected, &wanted)) {
        return false;
    }
    double scale = fabs(wanted) > 1.0 ? fabs(wanted) : 1.0;
    return fabs(value - wanted) <= tolerance * scale;
}

static bool words_equal(struct view output, struct view expected,
                        bool (*equal)(struct view word, struct view expected))
{
    for (;;) {
        struct view word = next_word(&output);
        struct view wanted = next_word(&expected);
        if (word.len == 0 || wanted.len == 0) {
            return word.len == wanted.len;
        }
        if (!equal(word, wanted)) {
            return false;
        }
    }
}

bool output_is_expected(enum comparator comparator, struct view output, struct view expected)
{
    switch (comparator) {
    case COMPARE_EXACT:
        return view_equal(output, expected);
    case COMPARE_WORDS:
        return words_equal(output, expected, view_equal);
    case COMPARE_NUMBERS:
        return words_equal(output, expected, words_alike);
    case COMPARE_LINES:
        break;
    }
    return lines_equal(output, expected);
}

const char *verdict_of_end(const struct run_end *end, int64_t timeout_ms)
{
    if (view_equal(end->reason, VIEW("timeout")) || (end->has_cpu && end->cpu_ms > timeout_ms)) {
        return "time_limit";
    }
    if (view_equal(end->reason, VIEW("oom"))) {
        return "memory_limit";
    }
    return end->has_exit_code && end->exit_code == 0 ? NULL : "runtime_error";
}
