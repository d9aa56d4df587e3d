//! The chat template of a checkpoint: Jinja, with what transformers adds to it.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::Value as Json;

use crate::PolicyError;
use crate::files::{read_json, read_text};
use crate::python;

const NAME: &str = "chat";

/// A compiled template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, else `chat_template.json`, else the key in `tokenizer_config.json`.
    pub(crate) fn load(dir: &Path) -> Result<Self, PolicyError> {
        if let Some(source) = read_text(&dir.join("chat_template.jinja"))? {
            return Self::compile(source);
        }
        for file in ["chat_template.json", "tokenizer_config.json"] {
            let json = read_json(&dir.join(file))?;
            if let Some(source) = json.as_ref().and_then(|json| source_in(&json["chat_template"])) {
                return Self::compile(source.into());
            }
        }
        let message = format!(
            "none in {dir:?}: expected chat_template.jinja, chat_template.json, \
             or the key chat_template in tokenizer_config.json"
        );
        Err(PolicyError::ChatTemplate { message })
    }

    fn compile(source: String) -> Result<Self, PolicyError> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax =
            syntax.trim_blocks(true).lstrip_blocks(true).build().map_err(template_error)?;
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_test("iterable", |value: &Value| python::is_iterable(value));
        environment.add_test("sequence", |value: &Value| python::is_iterable(value));
        environment.add_filter("tojson", python::tojson);
        environment.add_filter("string", |value: &Value| python::text(value));
        environment.set_formatter(|output, _, value| {
            let text = python::text(value);
            output.write_str(&text).map_err(|error| {
                Error::new(ErrorKind::WriteFailure, "cannot write").with_source(error)
            })
        });
        let source = without_generation_tags(&source);
        environment.add_template_owned(NAME, source).map_err(template_error)?;
        Ok(Self { environment })
    }

    /// The text of a conversation; `context` holds `messages`, `add_generation_prompt` and special tokens.
    pub(crate) fn render(&self, context: &impl Serialize) -> Result<String, PolicyError> {
        let template = self.environment.get_template(NAME).map_err(template_error)?;
        template.render(Value::from(Serde(context))).map_err(template_error)
    }
}

/// The template itself, or the one called `default` of a list of named ones.
fn source_in(json: &Json) -> Option<&str> {
    let named = || json.as_array()?.iter().find(|entry| entry["name"] == "default");
    json.as_str().or_else(|| named()?["template"].as_str())
}

fn template_error(error: Error) -> PolicyError {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map_or_else(|| error.kind().to_string(), Into::into);
    PolicyError::ChatTemplate { message: format!("{line}{detail}") }
}

/// transformers marks what the assistant says with `{% generation %}` and its end, to find it again. Nobody looks for
/// it here, so these become a condition that holds: it takes up the same blanks and lines.
fn without_generation_tags(source: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        let Some(end) = tag.find("%}") else { break };
        let (inside, after) = tag[2..].split_at(end - 2);
        text += before;
        text += "{%";
        text += &match inside.trim_matches(['-', '+']).trim() {
            "generation" => inside.replacen("generation", "if true", 1),
            "endgeneration" => inside.replacen("endgeneration", "endif", 1),
            _ => inside.to_owned(),
        };
        rest = after;
    }
    text + rest
}

/// How a template refuses a conversation.
fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The local time in C's `strftime` notation.
fn strftime_now(format: String) -> Result<String, Error> {
    use std::fmt::Write;
    let mut text = String::new();
    write!(text, "{}", chrono::Local::now().format(&format)).map_err(|error| {
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
        let template = ChatTemplate::compile(source.into()).expect("compiles");
        assert_eq!(template.render(&context).expect("renders"), expected);
    }

    #[track_caller]
    fn check_error(source: &str, expected: &str) {
        let rendered = ChatTemplate::compile(source.into()).and_then(|t| t.render(&json!({})));
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
        let template = ChatTemplate::compile("{{ strftime_now('%Y') }}".into()).expect("compiles");
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
        let message = ChatTemplate::compile("\n{% if %}".into()).expect_err("broken").to_string();
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
}
