/* A first plugin: a tool, with the schemas of its arguments and its result. */

#include <stdlib.h>
#include <string.h>
#include <toolhost_plugin.h>

static th_result greet(const th_call *call) {
    char *name = th_json_string(th_json_get(call->arguments, "name"));
    int64_t times = 1;
    th_json_int64(th_json_get(call->arguments, "times"), &times);
    if (strspn(name, " ") == strlen(name)) return th_invalid_arguments("`name` is empty");

    const char *mark = th_config("mark");
    th_log(TH_INFO, "greeting %s", name);
    th_buffer text = {0};
    for (int64_t time = 0; time < times; time++) th_putf(&text, "%sHello, %s%s", time ? " " : "", name, mark ? mark : "!");

    th_buffer json = {0};
    th_put(&json, "{\"text\":");
    th_put_string(&json, text.text);
    th_putf(&json, ",\"length\":%zu}", text.length);
    return th_json_result(json.text);
}

const th_tool th_tools[] = {
    {
        .name = "greet",
        .description = "Greets somebody.",
        .input_schema = "{\"type\":\"object\",\"properties\":{"
                        "\"name\":{\"type\":\"string\",\"description\":\"Who to greet.\"},"
                        "\"times\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10,\"description\":\"How often.\",\"default\":1}},"
                        "\"required\":[\"name\"],\"additionalProperties\":false}",
        .output_schema = "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},\"length\":{\"type\":\"integer\"}},"
                         "\"required\":[\"text\",\"length\"]}",
        .read_only = TH_YES,
        .idempotent = TH_YES,
        .open_world = TH_NO,
        .run = greet,
    },
    {0},
};
