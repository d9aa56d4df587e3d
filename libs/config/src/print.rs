//! From sections back to text, with every default written out.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Section;

/// A configuration under print: sections in the order in which they are added.
#[derive(Debug, Default)]
pub struct Printed {
    text: String,
}

impl Printed {
    /// Adds a section. One within another, as `data.stream`, must come after it.
    ///
    /// # Panics
    /// If the section has a value that TOML lacks.
    pub fn add<S: Section>(&mut self, section: &S) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text += &nested(S::NAME, section).expect("a section has no value that TOML lacks");
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// The section in the tables that its dotted name says.
fn nested<S: Serialize>(name: &str, section: &S) -> Result<String, toml::ser::Error> {
    match name.split_once('.') {
        None => toml::to_string_pretty(&BTreeMap::from([(name, section)])),
        Some((outer, inner)) => {
            let inner = BTreeMap::from([(inner, section)]);
            toml::to_string_pretty(&BTreeMap::from([(outer, inner)]))
        }
    }
}
