//! Where the parts of a model are among the names of its tensors; transformers has changed them over time.

use std::collections::BTreeMap;

/// The names of a model's parts in one layout.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The parts of the vision tower.
    pub(crate) visual: &'static [&'static str],
    pub(crate) text: &'static str,
    pub(crate) head: &'static str,
}

/// The layouts in which the checkpoints of a family come.
#[derive(Debug)]
pub(crate) struct Layouts {
    /// As checkpoints are published, and as transformers writes files.
    pub(crate) published: Layout,
    /// As transformers names its own modules; `peft` names adapters after them.
    pub(crate) modules: Layout,
    /// The last names of tables of the tower whose rows are looked up: matrices that are no linear layers.
    pub(crate) embeddings: &'static [&'static str],
}

/// The layout of one checkpoint, with the others of its family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    layout: &'static Layout,
    layouts: &'static Layouts,
}

impl Layouts {
    /// The layout of published checkpoints.
    pub(crate) fn published(&'static self) -> Names {
        Names { layout: &self.published, layouts: self }
    }

    /// The layout of these tensors.
    pub(crate) fn of<T>(&'static self, tensors: &BTreeMap<String, T>) -> Names {
        let is_module = |name: &String| below(name, self.modules.text).is_some();
        let layout = if tensors.keys().any(is_module) { &self.modules } else { &self.published };
        Names { layout, layouts: self }
    }
}

impl Names {
    /// The parts of the vision tower.
    pub(crate) fn visual(&self) -> &'static [&'static str] {
        self.layout.visual
    }

    /// The language model without its head.
    pub(crate) fn text(&self) -> &'static str {
        self.layout.text
    }

    /// Name of the output head's weight.
    pub(crate) fn head(&self) -> &'static str {
        self.layout.head
    }

    /// The head's one tensor.
    pub(crate) fn head_weight(&self) -> String {
        format!("{}.weight", self.layout.head)
    }

    /// The parts of the vision tower as transformers names them, and the output head.
    pub(crate) fn beside_the_layers(&self) -> Vec<String> {
        let modules = &self.layouts.modules;
        modules.visual.iter().chain([&modules.head]).map(|name| (*name).to_owned()).collect()
    }

    /// Whether a module is a table of embeddings or the output head: a matrix that is no linear layer.
    pub(crate) fn is_table(&self, module: &str) -> bool {
        let last = module.rsplit('.').next().unwrap_or(module);
        last == "embed_tokens" || module == self.head() || self.layouts.embeddings.contains(&last)
    }

    /// Whether a tensor or module belongs to the vision tower.
    pub(crate) fn is_visual(&self, name: &str) -> bool {
        self.layout.visual.iter().any(|part| below(name, part).is_some())
    }

    /// How transformers names a module of this layout.
    pub(crate) fn module(&self, name: &str) -> String {
        renamed(name, self.layout, &self.layouts.modules).unwrap_or_else(|| name.to_owned())
    }

    /// How a module of this layout is called in published checkpoints, and by transformers when these were made.
    pub(crate) fn published(&self, name: &str) -> String {
        renamed(name, self.layout, &self.layouts.published).unwrap_or_else(|| name.to_owned())
    }

    /// This layout's name of a module that transformers, today's or an older one, names so.
    pub(crate) fn local(&self, module: &str) -> String {
        // The newer layout first: the older one's prefix of the text model may be a part of it.
        let layouts = [&self.layouts.modules, &self.layouts.published];
        let mut names = layouts.into_iter().filter_map(|from| renamed(module, from, self.layout));
        names.next().unwrap_or_else(|| module.to_owned())
    }
}

/// A name of one layout in another, if it belongs to the tower or to the text model.
fn renamed(name: &str, from: &Layout, to: &Layout) -> Option<String> {
    let visual = from.visual.iter().zip(to.visual);
    let mut parts = visual.chain([(&from.text, &to.text)]);
    parts.find_map(|(from, to)| Some(format!("{to}.{}", below(name, from)?)))
}

fn below<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    static LAYOUTS: Layouts = Layouts {
        published: Layout { visual: &["eye", "bridge"], text: "model", head: "head" },
        modules: Layout {
            visual: &["model.eye", "model.bridge"],
            text: "model.text",
            head: "head",
        },
        embeddings: &["places"],
    };

    fn names(tensor: &str) -> Names {
        LAYOUTS.of(&BTreeMap::from([(tensor.to_owned(), ())]))
    }

    #[test]
    fn a_name_is_found_in_the_other_layout() {
        let (published, modules) = (names("model.norm.weight"), names("model.text.norm.weight"));
        assert_eq!(published.module("bridge.proj"), "model.bridge.proj");
        assert_eq!(published.module("model.norm"), "model.text.norm");
        assert_eq!(modules.module("model.text.norm"), "model.text.norm");
        for module in ["model.text.norm", "model.norm"] {
            assert_eq!(published.local(module), "model.norm");
        }
        assert_eq!(modules.local("eye.blocks.0"), "model.eye.blocks.0");
        assert_eq!(modules.local("head"), "head");
    }

    #[test]
    fn tables_are_told_from_linear_layers() {
        let published = LAYOUTS.published();
        for module in ["model.embed_tokens", "eye.places", "head"] {
            assert!(published.is_table(module), "{module}");
        }
        assert!(!published.is_table("eye.places.proj") && !published.is_table("model.head"));
    }

    #[test]
    fn the_tower_may_have_several_parts() {
        let published = LAYOUTS.published();
        assert!(published.is_visual("bridge.proj") && published.is_visual("eye.norm"));
        assert!(!published.is_visual("eyes.norm") && !published.is_visual("model.norm"));
    }
}
