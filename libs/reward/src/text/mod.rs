//! Reading text that a language model or an annotator wrote: which part is the answer, what values stand in it, and
//! when two names are the same.

pub(crate) mod edit;
pub(crate) mod extract;
pub(crate) mod find;
pub(crate) mod json;
pub(crate) mod marked;
pub(crate) mod names;
pub(crate) mod plain;
pub(crate) mod value;
