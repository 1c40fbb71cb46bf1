;; A plugin with one tool, `attack`. The tests put pieces in the place of the words in `<>`.
(component
  <components>
  (component $plugin
    <imports>
    (core module $module
      <module-imports>
      (memory (export "memory") 2)
      (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32)
        <realloc>)
      (func (export "list-tools") (result i32) (i32.const 16))
      ;; Falling through, it answers with nothing: 1024 bytes on, there are only zeros.
      (func (export "call-tool") (param i32 i32 i32 i32 i32 i32) (result i32)
        <attack>
        (i32.const 1024))
      ;; A list of one tool: its name, no title, description, schema, and zeros.
      (data (i32.const 16) "\20\00\00\00" "\01\00\00\00")
      (data (i32.const 32) "\00\01\00\00" "\06\00\00\00")
      (data (i32.const 52) "\00\01\00\00" "\06\00\00\00" "\08\01\00\00" "\11\00\00\00")
      (data (i32.const 256) "attack")
      (data (i32.const 264) "{\22type\22:\22object\22}")
      <module>)
    <instance>
    (type $annotations_ (record
      (field "read-only" (option bool)) (field "destructive" (option bool))
      (field "idempotent" (option bool)) (field "open-world" (option bool))))
    (export $annotations "annotations" (type $annotations_))
    (type $tool_ (record
      (field "name" string) (field "title" (option string)) (field "description" string)
      (field "input-schema" string) (field "output-schema" (option string))
      (field "annotations" $annotations)))
    (export $tool "tool" (type $tool_))
    (type $call_ (record (field "id" string) (field "name" string) (field "arguments" string)))
    (export $call "call" (type $call_))
    (type $media_ (record (field "data" (list u8)) (field "mime-type" string)))
    (export $media "media" (type $media_))
    (type $link_ (record
      (field "uri" string) (field "name" string) (field "description" (option string))
      (field "mime-type" (option string))))
    (export $link "resource-link" (type $link_))
    (type $body_ (variant (case "text" string) (case "blob" (list u8))))
    (export $body "resource-body" (type $body_))
    (type $embedded_ (record
      (field "uri" string) (field "mime-type" (option string)) (field "body" $body)))
    (export $embedded "embedded-resource" (type $embedded_))
    (type $content_ (variant
      (case "text" string) (case "image" $media) (case "audio" $media) (case "link" $link)
      (case "embedded" $embedded)))
    (export $content "content" (type $content_))
    (type $output_ (record (field "content" (list $content)) (field "structured" (option string))))
    (export $output "output" (type $output_))
    (type $error_ (variant
      (case "invalid-arguments" string) (case "denied" string) (case "failed" string)))
    (export $error "error" (type $error_))
    (func $list (result (list $tool)) (canon lift (core func $instance "list-tools")
      (memory (core memory $instance "memory")) (realloc (core func $instance "realloc"))))
    (func $run (param "call" $call) (result (result $output (error $error)))
      (canon lift (core func $instance "call-tool")
        (memory (core memory $instance "memory")) (realloc (core func $instance "realloc"))))
    (export "list-tools" (func $list))
    (export "call-tool" (func $run)))
  (instance $tools (instantiate $plugin <with>))
  (export "toolhost:plugin/tools@0.1.0" (instance $tools)))
