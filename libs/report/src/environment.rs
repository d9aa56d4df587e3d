//! `environment.json`: the machine and the program, and when the run was at work, in words for a reader.

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::number::count;

/// What a run says of its surroundings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// When each session began, in seconds since 1970: a resumed run has several.
    pub(crate) session_starts: Vec<f64>,
    facts: Vec<(String, String)>,
}

impl Environment {
    /// Reads the file, if it is there and whole.
    pub(crate) fn parse(text: Option<String>) -> Environment {
        let parsed = text.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
        let mut facts = parsed.unwrap_or_default();
        let sessions = facts.remove("sessions");
        // Runs before that of today had one session, in two keys.
        let started = facts.remove("started").and_then(|at| at.as_f64());
        let ended = facts.remove("ended").and_then(|at| at.as_f64());
        let session =
            |session: &Value| Some((session["started"].as_f64()?, session["ended"].as_f64()));
        let sessions = sessions.as_ref().and_then(Value::as_array).into_iter().flatten();
        let mut sessions: Vec<(f64, Option<f64>)> = sessions.filter_map(session).collect();
        if let Some(started) = started.filter(|_| sessions.is_empty()) {
            sessions.push((started, ended));
        }
        let mut facts: Vec<(String, String)> =
            facts.into_iter().map(|(key, value)| (key.clone(), plain(&key, value))).collect();
        facts.extend(moments(&sessions));
        Environment { session_starts: sessions.iter().map(|(start, _)| *start).collect(), facts }
    }

    /// Names and values, in the order of the file; the times come last.
    pub(crate) fn facts(&self) -> &[(String, String)] {
        &self.facts
    }
}

/// When the run began and ended, and how often it was resumed.
fn moments(sessions: &[(f64, Option<f64>)]) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, text: String| facts.push((name.to_owned(), text));
    let (Some((first, _)), Some((last, end))) = (sessions.first(), sessions.last()) else {
        return facts;
    };
    fact("started", date(*first));
    if sessions.len() > 1 {
        let times = count(sessions.len() - 1, "time");
        fact("resumed", format!("{times}, last {}", date(*last)));
    }
    fact("ended", end.map_or_else(|| "never: it broke off".to_owned(), date));
    facts
}

/// A moment as a person reads it; nothing else than the number for one that no calendar has.
fn date(at: f64) -> String {
    let date = DateTime::from_timestamp(at as i64, 0).filter(|_| at.is_finite());
    date.map_or_else(|| at.to_string(), |date| date.format("%-d %B %Y, %H:%M:%S UTC").to_string())
}

/// A value as text; a size in kB in the unit that a person would choose.
fn plain(key: &str, value: Value) -> String {
    match value {
        Value::String(text) if key == "memory" => gibibytes(&text).unwrap_or(text),
        Value::String(text) => text,
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// `24689012 kB`, as the kernel writes it, in GiB.
fn gibibytes(text: &str) -> Option<String> {
    let kib: f64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", kib / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Vec<(String, String)> {
        Environment::parse(Some(text.to_owned())).facts
    }

    #[track_caller]
    fn has(facts: &[(String, String)], name: &str, value: &str) {
        let found = facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(found, Some(value), "{name}");
    }

    #[test]
    fn dates_and_sizes_are_for_people() {
        let text = r#"{"memory":"24689012 kB","cores":2,"command":["vrft","run"],
            "sessions":[{"started":1764212096.5,"ended":null},{"started":1764215696,"ended":1764215700}]}"#;
        let facts = facts(text);
        has(&facts, "memory", "23.5 GiB");
        has(&facts, "cores", "2");
        has(&facts, "command", "vrft run");
        has(&facts, "started", "27 November 2025, 02:54:56 UTC");
        has(&facts, "resumed", "1 time, last 27 November 2025, 03:54:56 UTC");
        has(&facts, "ended", "27 November 2025, 03:55:00 UTC");
    }

    #[test]
    fn an_earlier_file_and_a_torn_one_are_read_as_far_as_they_go() {
        let old = facts(r#"{"started":0.0,"ended":1.5,"memory":"much"}"#);
        has(&old, "ended", "1 January 1970, 00:00:01 UTC");
        has(&old, "memory", "much");
        has(&facts(r#"{"started":1e300}"#), "ended", "never: it broke off");
        assert!(facts("{").is_empty());
    }
}
