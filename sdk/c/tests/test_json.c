/* The JSON reader and writer. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <toolhost_plugin_testing.h>

static th_result echo(const th_call *call) {
    char *text = th_json_string(th_json_get(call->arguments, "text"));
    return text ? th_text(text) : th_failed("100%% %s", "wrong");
}

const th_tool th_tools[] = {{.name = "echo", .description = "Returns a text.", .run = echo}, {0}};

static th_json json(const char *text) { return (th_json){text, strlen(text)}; }

static void numbers(void) {
    int64_t number = 7;
    assert(th_json_int64(json("-9223372036854775808"), &number) && number == INT64_MIN);
    assert(th_json_int64(json("9223372036854775807"), &number) && number == INT64_MAX);
    assert(!th_json_int64(json("9223372036854775808"), &number) && number == INT64_MAX);
    assert(!th_json_int64(json("1.0"), &number) && !th_json_int64(json("1e3"), &number) && !th_json_int64(json("\"1\""), &number));
    double real = 0;
    assert(th_json_double(json("-1.5e3"), &real) && real == -1500);
    bool truth = false;
    assert(th_json_bool(json("true"), &truth) && truth && !th_json_bool(json("null"), &truth));
}

static void strings(void) {
    size_t length = 0;
    char *text = th_json_bytes(json("\"a\\u0000b\\n\\\"\\\\\\/\\u00e4\\ud83c\\udf88\\ud800\""), &length);
    assert(length == 16 && memcmp(text, "a\0b\n\"\\/\xc3\xa4\xf0\x9f\x8e\x88\xef\xbf\xbd", length) == 0);
    assert(!th_json_string(json("1")) && !th_json_string((th_json){0}));
    th_buffer buffer = {0};
    th_put_string(&buffer, "a\"\\\n\x01\xc3\xa4\xff");
    assert(strcmp(buffer.text, "\"a\\\"\\\\\\n\\u0001\xc3\xa4\xef\xbf\xbd\"") == 0);
}

static void places(void) {
    th_json object = json(" {\"a\" : [1, {\"b\":\"]}\"}, [[]], \"x,y\"] , \"\\u0062\":null,\"a\\\"\":2,\"a\":{ }} ");
    object.text++;
    object.length--;
    assert(th_json_count(object) == 4);
    assert(th_json_kind(th_json_get(object, "a")) == TH_OBJECT);
    assert(th_json_kind(th_json_get(object, "b")) == TH_NULL);
    assert(th_json_kind(th_json_get(object, "a\"")) == TH_NUMBER);
    assert(th_json_kind(th_json_get(object, "c")) == TH_NOTHING);
    char *name = NULL;
    th_json array = th_json_member(object, 0, &name);
    assert(strcmp(name, "a") == 0 && th_json_count(array) == 4);
    assert(strcmp(th_json_string(th_json_get(th_json_at(array, 1), "b")), "]}") == 0);
    assert(th_json_count(th_json_at(array, 2)) == 1 && th_json_count(th_json_at(th_json_at(array, 2), 0)) == 0);
    assert(strcmp(th_json_string(th_json_at(array, 3)), "x,y") == 0);
    assert(th_json_kind(th_json_at(array, 4)) == TH_NOTHING && th_json_kind(th_json_at(object, 0)) == TH_NOTHING);
    assert(th_json_count(json("[]")) == 0 && th_json_count(json("{ }")) == 0);

    /* Deep nesting takes no stack. */
    size_t depth = 1000000;
    char *deep = malloc(2 * depth + 1);
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    deep[2 * depth] = 0;
    assert(th_json_count(json(deep)) == 1);
}

int main(void) {
    numbers();
    strings();
    places();
    assert(strcmp(th_test_call("echo", "{\"text\":\"a%s\"}").text, "a%s") == 0);
    assert(strcmp(th_test_call("echo", "{}").text, "100% wrong") == 0);
    puts("1 passed, 0 failed");
    return 0;
}
