"""From functions to tools: copies of modules of the plugin SDK (`sdk/python`), which a test keeps equal to theirs."""
