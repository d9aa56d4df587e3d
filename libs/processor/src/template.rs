//! The chat template of a checkpoint: Jinja, with what transformers adds to it.
//!
//! A template is a program that came with the checkpoint. It runs within bounds ([`limits`]): one that would hang, fill
//! the memory or overflow the stack is refused with an error instead.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::Value as Json;
use vrft_checkpoint::JsonFile;

use crate::ProcessorError;

mod limits;
mod python;
mod tags;

use tags::Piece;

const NAME: &str = "chat";
/// Filters that a value goes through before it is stored: in a variable, and in a namespace, which outlives a loop.
const KEEP: &str = "vrft_keep";
const KEEP_IN_NAMESPACE: &str = "vrft_keep_in_namespace";

/// A chat template, compiled and ready to render.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, else `chat_template.json`, else the key in `tokenizer_config.json`.
    pub(crate) fn load(dir: &Path) -> Result<Self, ProcessorError> {
        if let Some(source) = vrft_checkpoint::read_text(&dir.join("chat_template.jinja"))? {
            return Self::compile(&source);
        }
        for file in ["chat_template.json", "tokenizer_config.json"] {
            let json = JsonFile::read(&dir.join(file))?;
            let template = json.as_ref().map(|json| &json.value()["chat_template"]);
            if let Some(source) = template.and_then(source_in) {
                return Self::compile(source);
            }
        }
        let message = format!(
            "none in {dir:?}: expected chat_template.jinja, chat_template.json, \
             or the key chat_template in tokenizer_config.json"
        );
        Err(ProcessorError::ChatTemplate { message })
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// One that is no template, or larger than any is.
    pub(crate) fn compile(source: &str) -> Result<Self, ProcessorError> {
        limits::check_source(source).map_err(|message| ProcessorError::ChatTemplate { message })?;
        let source = prepared(source);
        let mut environment = environment().map_err(template_error)?;
        let environment = limits::on_own_stack(|| {
            environment.add_template_owned(NAME, source)?;
            Ok(environment)
        });
        Ok(Self { environment: environment.map_err(template_error)? })
    }

    /// The text of a conversation; `context` holds `messages`, `add_generation_prompt` and special tokens.
    pub(crate) fn render(
        &self,
        context: &(impl Serialize + Sync),
    ) -> Result<String, ProcessorError> {
        let rendered = limits::on_own_stack(|| {
            let template = self.environment.get_template(NAME)?;
            template.render(Value::from(Serde(context)))
        });
        rendered.map_err(template_error)
    }
}

/// Jinja as transformers sets it up, within bounds.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(limits::FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(|state, value, method, args| {
        if let ("format", Some(text)) = (method, value.as_str()) {
            python::pay_for_format(state, text, args)?;
        }
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_test("iterable", |value: &Value| python::is_iterable(value));
    environment.add_test("sequence", |value: &Value| python::is_iterable(value));
    environment.add_filter(KEEP, |state: &State, value: Value| limits::keep(state, value, true));
    environment.add_filter(KEEP_IN_NAMESPACE, |state: &State, value: Value| {
        limits::keep(state, value, false)
    });
    environment.add_filter("tojson", python::tojson);
    environment.add_filter("string", |state: &State, value: &Value| python::text(state, value));
    environment.set_formatter(|output, state, value| {
        let text = python::text(state, value)?;
        output
            .write_str(&text)
            .map_err(|error| Error::new(ErrorKind::WriteFailure, "cannot write").with_source(error))
    });
    Ok(environment)
}

/// The template itself, or the one called `default` of a list of named ones.
fn source_in(json: &Json) -> Option<&str> {
    let named = || json.as_array()?.iter().find(|entry| entry["name"] == "default");
    json.as_str().or_else(|| named()?["template"].as_str())
}

fn template_error(error: Error) -> ProcessorError {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = match error.kind() {
        ErrorKind::OutOfFuel => limits::OUT_OF_FUEL.to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), Into::into),
    };
    ProcessorError::ChatTemplate { message: format!("{line}{detail}") }
}

/// The template as the engine runs it: what transformers adds to Jinja is rewritten, and what is stored is looked at.
fn prepared(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for piece in tags::pieces(source) {
        match piece {
            Piece::Text(part) => text += part,
            Piece::Tag { inside, is_statement, is_closed, .. } => {
                text += if is_statement { "{%" } else { "{{" };
                text += &if is_statement { statement(inside) } else { inside.to_owned() };
                text += match (is_closed, is_statement) {
                    (false, _) => "",
                    (true, true) => "%}",
                    (true, false) => "}}",
                };
            }
        }
    }
    text
}

/// transformers marks what the assistant says with `{% generation %}` and its end, to find it again. Nobody looks for
/// it here, so these become a condition that holds: it takes up the same blanks and lines.
fn statement(inside: &str) -> String {
    match inside.trim_matches(['-', '+']).trim() {
        "generation" => inside.replacen("generation", "if true", 1),
        "endgeneration" => inside.replacen("endgeneration", "endif", 1),
        _ => assignment(inside).unwrap_or_else(|| inside.to_owned()),
    }
}

/// `set target = value` with a look at the value before it is stored.
fn assignment(inside: &str) -> Option<String> {
    if tags::name(inside) != "set" {
        return None;
    }
    let (before, rest) = inside.split_once("set")?;
    let is_target = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.".contains(c);
    let (target, value) = rest.split_at(rest.find(|c| !is_target(c))?);
    let value = value.strip_prefix('=').filter(|value| !value.starts_with('='))?;
    let (value, mark) = match value.strip_suffix(['-', '+']) {
        Some(rest) => (rest, &value[rest.len()..]),
        None => (value, ""),
    };
    let look = if target.contains('.') { KEEP_IN_NAMESPACE } else { KEEP };
    Some(format!("{before}set{target}= ({value}) | {look}{mark}"))
}

/// How a template refuses a conversation.
fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The local time in C's `strftime` notation.
fn strftime_now(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    /// A format of two bytes may become a text of thirty.
    const LONGEST: usize = 1000;
    if format.len() > LONGEST {
        let message = format!("the format of strftime_now should be at most {LONGEST} bytes long");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let mut text = String::new();
    write!(text, "{}", chrono::Local::now().format(format)).map_err(|error| {
        let message = format!("strftime_now cannot format {format:?}");
        Error::new(ErrorKind::InvalidOperation, message).with_source(error)
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let context = json!({"text": "a <b> & 'c'", "map": {"k": [1, 2.5, null, true]}});
        let template = ChatTemplate::compile(source).expect("compiles");
        assert_eq!(template.render(&context).expect("renders"), expected);
    }

    #[track_caller]
    fn check_error(source: &str, expected: &str) {
        let rendered = ChatTemplate::compile(source).and_then(|t| t.render(&json!({})));
        assert_eq!(rendered.expect_err("fails").to_string(), expected);
    }

    #[test]
    fn nothing_is_escaped() {
        check("{{ text }}", "a <b> & 'c'");
    }

    #[test]
    fn what_the_assistant_says_may_be_marked() {
        check("a {%- generation %} b {% endgeneration -%}  c", "a b c");
        check("{% if true %}x{%+ generation +%}y{% endgeneration %}{% endif %}", "xy");
        check("{% generation %}\nline\n{% endgeneration %}\n", "line\n");
    }

    #[test]
    fn blocks_take_their_line_with_them() {
        check("{% if true %}\n    {% if true %}\nx\n    {% endif %}\n{% endif %}\n", "x\n");
    }

    #[test]
    fn python_methods_and_loop_controls_work() {
        check("{{ ' x '.strip() }}{{ text.split(' ')[0] }}", "xa");
        check(
            "{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
            "13",
        );
    }

    #[test]
    fn the_year_has_four_digits() {
        let template = ChatTemplate::compile("{{ strftime_now('%Y') }}").expect("compiles");
        assert_eq!(template.render(&json!({})).expect("renders").len(), 4);
        check_error(
            "{{ strftime_now('%!') }}",
            "chat template: line 1: strftime_now cannot format \"%!\"",
        );
    }

    #[test]
    fn a_template_can_refuse() {
        check_error(
            "\n{{ raise_exception('no such role') }}",
            "chat template: line 2: no such role",
        );
    }

    #[test]
    fn a_broken_template_names_its_line() {
        let message = ChatTemplate::compile("\n{% if %}").expect_err("broken").to_string();
        assert!(message.starts_with("chat template: line 2: "), "{message}");
    }

    #[test]
    fn a_template_may_stand_in_any_of_three_files() {
        let named = json!({"chat_template": [{"name": "tools", "template": "no"},
                                             {"name": "default", "template": "yes"}]});
        let files = [
            ("chat_template.jinja", "yes".to_owned()),
            ("chat_template.json", json!({"chat_template": "yes"}).to_string()),
            ("tokenizer_config.json", json!({"chat_template": "yes"}).to_string()),
            ("tokenizer_config.json", named.to_string()),
        ];
        for (file, content) in files {
            let dir = tempfile::tempdir().expect("temporary folder");
            std::fs::write(dir.path().join(file), content).expect("writes");
            let template = ChatTemplate::load(dir.path()).expect(file);
            assert_eq!(template.render(&json!({})).expect("renders"), "yes");
        }
    }

    #[test]
    fn a_folder_without_a_template_says_what_it_should_have() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let message = ChatTemplate::load(dir.path()).expect_err("nothing there").to_string();
        assert!(message.contains("expected chat_template.jinja"), "{message}");
    }

    /// A template that does harm is refused, and soon.
    #[track_caller]
    fn check_harmless(source: &str, expected: &str) {
        let start = std::time::Instant::now();
        let context = json!({"text": "x".repeat(1000), "n": 1_000_000_000_000_u64});
        let rendered = ChatTemplate::compile(source).and_then(|t| t.render(&context));
        let message = rendered.expect_err("refused").to_string();
        assert!(message.contains(expected), "{message}");
        assert!(start.elapsed().as_secs() < 20, "after {:?}", start.elapsed());
    }

    const TOO_MUCH: &str = "it takes more steps or memory than a conversation should";

    #[test]
    fn a_template_that_would_run_for_ever_is_stopped() {
        let loops =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        check_harmless(loops, TOO_MUCH);
        check_harmless("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion");
    }

    #[test]
    fn a_text_that_doubles_is_stopped() {
        let doubling = |twice: &str| {
            format!(
                "{{% set ns = namespace(s=text) %}}{{% for i in range(40) %}}{{% set ns.s = {twice} %}}\
                 {{% endfor %}}{{{{ ns.s | length }}}}"
            )
        };
        check_harmless(&doubling("ns.s ~ ns.s"), TOO_MUCH);
        check_harmless(&doubling("ns.s + ns.s"), TOO_MUCH);
        check_harmless(&doubling("ns.s * 2"), TOO_MUCH);
        check_harmless(&doubling("ns.s.replace('x', 'xx')"), TOO_MUCH);
        check_harmless(&doubling("ns.s | replace('x', 'xx')"), TOO_MUCH);
        check_harmless(&doubling("[ns.s, ns.s] | join"), TOO_MUCH);
    }

    #[test]
    fn a_list_that_holds_itself_many_times_is_not_written_out() {
        let doubling = |shown: &str| {
            format!(
                "{{% set ns = namespace(s=[text]) %}}{{% for i in range(40) %}}\
                 {{% set ns.s = [ns.s, ns.s] %}}{{% endfor %}}{{{{ {shown} }}}}"
            )
        };
        check_harmless(&doubling("ns.s"), TOO_MUCH);
        check_harmless(&doubling("ns.s | string"), TOO_MUCH);
        check_harmless(&doubling("ns.s | tojson"), TOO_MUCH);
        check_harmless(&doubling("ns.s ~ ''"), TOO_MUCH);
        check_harmless(&doubling("[ns.s] | join"), TOO_MUCH);
        let set = |i: usize| format!("{{% set v{i} = [v{}, v{}] %}}", i - 1, i - 1);
        let variables: String = (1..40).map(set).collect();
        check_harmless(&format!("{{% set v0 = 1 %}}{variables}{{{{ v39 ~ '' }}}}"), TOO_MUCH);
    }

    #[test]
    fn a_namespace_cannot_hold_itself() {
        let refused = "a namespace should hold no other";
        let start = "{% set ns = namespace(x=1) %}";
        check_harmless(&format!("{start}{{% set ns.x = ns %}}{{{{ ns }}}}"), refused);
        check_harmless(
            &format!("{start}{{%- set ns.x = [{{'a': ns}}] -%}}{{{{ ns ~ '' }}}}"),
            refused,
        );
        check("{% set ns = namespace(x=1) %}{% set ns.x = [ns.x, 2] %}{{ ns.x }}", "[1, 2]");
    }

    #[test]
    fn what_is_stored_stays_what_it_is() {
        check("{%- set a = 'x' if text else 'y' -%} {{ a }}", "x");
        check("{% set a = 1, 2 %}{{ a[1] }}{% set b, c = a %}{{ c }}", "22");
        check("{% set a = nothing %}{{ a is defined }}{% set b %}x{% endset %}{{ b }}", "Falsex");
        check("{% raw %}{% set a = 1 %}{% endraw %}", "{% set a = 1 %}");
    }

    #[test]
    fn a_list_in_a_list_in_a_list_does_not_overflow_the_stack() {
        let nesting = |shown: &str| {
            format!(
                "{{% set ns = namespace(s=[]) %}}{{% for i in range(90000) %}}\
                 {{% set ns.s = [ns.s] %}}{{% endfor %}}{{{{ {shown} }}}}"
            )
        };
        for shown in ["ns.s", "ns.s | string", "ns.s | tojson", "ns.s == ns.s", "ns.s | length"] {
            let template = ChatTemplate::compile(&nesting(shown)).expect("compiles");
            // Whether it is refused or written: the program goes on.
            drop(template.render(&json!({})));
        }
    }

    #[test]
    fn a_width_that_no_memory_has_is_refused() {
        check_harmless("{{ '%1000000000000d' | format(1) }}", TOO_MUCH);
        check_harmless("{{ '{:>1000000000000}'.format(1) }}", TOO_MUCH);
        check_harmless("{{ 'x' * n }}", TOO_MUCH);
        check_harmless("{{ 'x' | indent(n, true) }}", TOO_MUCH);
        check_harmless("{{ [[1]] | tojson(indent=n) }}", TOO_MUCH);
        check_harmless("{{ [[1]] | tojson(separators=[text * 60000, text]) }}", TOO_MUCH);
        check_harmless("{{ strftime_now(text * 2) }}", "at most 1000 bytes");
    }

    #[test]
    fn signs_in_a_row_do_not_overflow_the_stack() {
        let words = "at most 4096 words and signs";
        check_harmless(&format!("{{{{ {} x }}}}", "not ".repeat(50_000)), words);
        check_harmless(&format!("{{{{ {} x }}}}", "not ".repeat(300_000)), "at most 262144 bytes");
        check_harmless(&format!("{{{{ {} 1 }}}}", "-".repeat(200_000)), words);
        check_harmless(&format!("{{{{ x{} }}}}", "|f".repeat(100_000)), words);
        check_harmless(&format!("{{{{ {} }}}}", "(".repeat(200_000)), words);
        check_harmless(&"{% if x %}".repeat(8000), "recursion");
        let cases = "{% elif x %}".repeat(8000);
        let many_cases = ChatTemplate::compile(&format!("{{% if x %}}{cases}{{% endif %}}"));
        assert_eq!(many_cases.and_then(|t| t.render(&json!({}))).expect("renders"), "");
        let as_allowed = format!("{{{{ {}1 }}}}", "-".repeat(4090));
        let rendered = ChatTemplate::compile(&as_allowed).and_then(|t| t.render(&json!({})));
        assert_eq!(rendered.expect("renders"), "1");
    }
}
