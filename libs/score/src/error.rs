//! What can be wrong with the files that are compared.

/// A file of truth or of predictions that cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// Not JSON, or not the structure that the protocol has.
    #[error("not a file of {expected}: {message}")]
    Json {
        /// What the file should hold.
        expected: &'static str,
        /// The parser's words: line, key, what was expected.
        message: String,
    },
    /// Truth that does not say of each picture what was looked for in vain: by LVIS's protocol wrong boxes would not count.
    #[error(
        "an image does not name the categories that are not on it (neg_category_ids), as LVIS's annotations do: score it by COCO's \
         protocol (--coco)"
    )]
    NotFederated,
    /// Something in the truth that has no meaning.
    #[error("annotation {id}: {message}")]
    Annotation {
        /// The annotation's id.
        id: String,
        /// What is wrong and what is expected.
        message: String,
    },
    /// Two things of one id.
    #[error("two {what} have the id {id}; ids should be unique")]
    Duplicate {
        /// Images, categories or annotations.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// A prediction that belongs to nothing.
    #[error("prediction {index}: {message}")]
    Prediction {
        /// Position in the file, from 0.
        index: usize,
        /// What is wrong and what is expected.
        message: String,
    },
}
