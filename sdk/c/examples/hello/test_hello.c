/* The tools as a model sees them, without a host: `make test`. */

#include <assert.h>
#include <string.h>
#include <toolhost_plugin_testing.h>

int main(void) {
    th_test_result result = th_test_call("greet", "{\"name\":\"A\\u0064a\",\"times\":2}");
    assert(strcmp(result.structured, "{\"text\":\"Hello, Ada! Hello, Ada!\",\"length\":23}") == 0);

    th_test_config("mark", "?");
    assert(strstr(th_test_call("greet", "{\"name\":\"Ada\"}").text, "Hello, Ada?"));

    result = th_test_call("greet", "{\"name\":\" \"}");
    assert(strcmp(result.outcome, "invalid-arguments") == 0);
    assert(strcmp(result.text, "`name` is empty") == 0);
    return 0;
}
