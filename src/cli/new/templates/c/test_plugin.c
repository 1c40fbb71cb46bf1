/* The tools as a model sees them, without a host: `make test`. */

#include <assert.h>
#include <string.h>
#include <toolhost_plugin_testing.h>

int main(void) {
    th_test_result result = th_test_call("greet", "{\"name\":\"Ada\"}");
    assert(strcmp(result.text, "Hello, Ada!") == 0);

    result = th_test_call("greet", "{\"name\":\" \"}");
    assert(strcmp(result.outcome, "invalid-arguments") == 0);
    assert(strcmp(result.text, "`name` is empty") == 0);
    return 0;
}
