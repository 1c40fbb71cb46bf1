/* The tools of the plugin `{{name}}`: functions, and a table with the JSON Schemas of their arguments. */

#include <string.h>
#include <toolhost_plugin.h>

static th_result greet(const th_call *call) {
    char *name = th_json_string(th_json_get(call->arguments, "name"));
    if (strspn(name, " ") == strlen(name)) return th_invalid_arguments("`name` is empty");
    th_log(TH_INFO, "greeting %s", name);
    return th_textf("Hello, %s!", name);
}

const th_tool th_tools[] = {
    {
        .name = "greet",
        .description = "Greets a person.",
        .input_schema = "{\"type\":\"object\",\"properties\":{"
                        "\"name\":{\"type\":\"string\",\"description\":\"Name of the person.\"}},"
                        "\"required\":[\"name\"]}",
        .read_only = TH_YES,
        .idempotent = TH_YES,
        .open_world = TH_NO,
        .run = greet,
    },
    {0},
};
