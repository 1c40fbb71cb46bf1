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
      (func (export "call-tool") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        <attack>
        (i32.const 1024))
      ;; A list of one tool: its name, no title, description, no icons, schema, and zeros.
      (data (i32.const 16) "\20\00\00\00" "\01\00\00\00")
      (data (i32.const 32) "\00\01\00\00" "\06\00\00\00")
      (data (i32.const 52) "\00\01\00\00" "\06\00\00\00")
      (data (i32.const 68) "\08\01\00\00" "\11\00\00\00")
      (data (i32.const 256) "attack")
      (data (i32.const 264) "{\22type\22:\22object\22}")
      <module>)
    <instance>
    (type $annotations_ (record
      (field "read-only" (option bool)) (field "destructive" (option bool))
      (field "idempotent" (option bool)) (field "open-world" (option bool))))
    (export $annotations "annotations" (type $annotations_))
    (type $icon_ (record
      (field "src" string) (field "mime-type" (option string)) (field "sizes" (list string))))
    (export $icon "icon" (type $icon_))
    (type $tool_ (record
      (field "name" string) (field "title" (option string)) (field "description" string)
      (field "icons" (list $icon))
      (field "input-schema" string) (field "output-schema" (option string))
      (field "annotations" $annotations)))
    (export $tool "tool" (type $tool_))
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
    (type $role_ (enum "user" "assistant"))
    (export $role "role" (type $role_))
    (type $message_ (record (field "role" $role) (field "content" $content)))
    (export $message "message" (type $message_))
    (type $form_ (record (field "message" string) (field "schema" string)))
    (export $form "form" (type $form_))
    (type $page_ (record (field "message" string) (field "url" string) (field "id" string)))
    (export $page "page" (type $page_))
    (type $prompt_ (record
      (field "messages" (list $message)) (field "system-prompt" (option string))
      (field "max-tokens" u32) (field "temperature" (option f64))
      (field "stop-sequences" (list string))))
    (export $prompt "prompt" (type $prompt_))
    (type $question_ (variant
      (case "form" $form) (case "page" $page) (case "prompt" $prompt) (case "roots")))
    (export $question "question" (type $question_))
    (type $input_ (record
      (field "questions" (list (tuple string $question))) (field "state" (list u8))))
    (export $input "input-required" (type $input_))
    (type $completion_ (record
      (field "role" $role) (field "content" $content) (field "model" string)
      (field "stop-reason" (option string))))
    (export $completion "completion" (type $completion_))
    (type $root_ (record (field "uri" string) (field "name" (option string))))
    (export $root "root" (type $root_))
    (type $reply_ (variant
      (case "accepted" (option string)) (case "declined") (case "dismissed")
      (case "completion" $completion) (case "roots" (list $root))))
    (export $reply "reply" (type $reply_))
    (type $resumption_ (record
      (field "state" (list u8)) (field "replies" (list (tuple string $reply)))))
    (export $resumption "resumption" (type $resumption_))
    (type $call_ (record
      (field "id" string) (field "name" string) (field "arguments" string)
      (field "resumed" (option $resumption))))
    (export $call "call" (type $call_))
    (type $error_ (variant
      (case "input-required" $input) (case "invalid-arguments" string) (case "denied" string) (case "failed" string)))
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
