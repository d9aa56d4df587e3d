//! What a folder has in place of the files that are looked for.

use std::path::Path;

use crate::CheckpointError;
use crate::tensors::SINGLE;

/// How the small file begins that Git LFS leaves where the large one was not fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Files that a pickle or another format of weights may be in.
const UNREAD: [&str; 6] = ["bin", "pt", "pth", "ckpt", "gguf", "h5"];

/// Files that a message names.
const N_NAMED: usize = 4;

/// Refuses a file that is only a pointer of Git LFS, by how it begins.
///
/// # Errors
/// It is one, and what fetches the file itself.
pub fn refuse_pointer(path: &Path, start: &[u8]) -> Result<(), CheckpointError> {
    if start.starts_with(LFS_POINTER) {
        return Err(CheckpointError::Pointer { path: path.to_owned() });
    }
    Ok(())
}

/// That a folder has no such file of weights, with what it has instead and what to do about it.
pub(crate) fn no_weights(dir: &Path, wanted: &'static str) -> CheckpointError {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(source) => return CheckpointError::Read { path: dir.join(wanted), source },
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    let of = |kinds: &[&str]| -> Vec<&str> {
        let is_one =
            |name: &&str| name.rsplit_once('.').is_some_and(|(_, kind)| kinds.contains(&kind));
        names.iter().map(String::as_str).filter(is_one).collect()
    };
    let (tensors, unread) = (of(&["safetensors"]), of(&UNREAD));
    let why = if names.iter().any(|name| name == wanted) {
        "what has this name is no file, or a link to one that is not there".to_owned()
    } else if !tensors.is_empty() && wanted == SINGLE {
        format!(
            "it has {}, and no {wanted}.index.json that says which tensor is in which: put it beside them, as it is published \
             with them",
            listed(&tensors)
        )
    } else if !unread.is_empty() {
        format!(
            "it has {}, of which nothing is read, since a pickle may run any code: convert the weights to safetensors, as \
             save_pretrained of today's transformers and peft writes them",
            listed(&unread)
        )
    } else if names.is_empty() {
        "it is empty".to_owned()
    } else {
        format!("it has {}", listed(&names))
    };
    CheckpointError::NoWeights { dir: dir.to_owned(), wanted, why }
}

/// The first of these names, and how many there are more.
fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let named: Vec<&str> = names.iter().take(N_NAMED).map(AsRef::as_ref).collect();
    let more = names.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adapter, JsonFile, Manifest, TensorFiles};

    const POINTER: &str =
        "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9145592\n";

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| std::fs::write(dir.path().join(name), "PK").unwrap());
        dir
    }

    #[track_caller]
    fn refused(files: &[&str], words: &[&str]) {
        let dir = folder(files);
        let message = TensorFiles::open(dir.path()).unwrap_err().to_string();
        for words in words {
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn what_is_there_instead_of_weights_is_named_with_the_remedy() {
        refused(
            &["config.json", "pytorch_model.bin"],
            &["has no model.safetensors: it has pytorch_model.bin, ", "pickle"],
        );
        let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        refused(&shards, &[&shards.join(", "), "no model.safetensors.index.json"]);
        refused(&["config.json"], &["has no model.safetensors: it has config.json"]);
        refused(&[], &["it is empty"]);
        let dir = folder(&["config.json"]);
        std::os::unix::fs::symlink("nowhere", dir.path().join(SINGLE)).unwrap();
        let message = TensorFiles::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("a link to one that is not there"), "{message}");
        let many = ["1.bin", "2.bin", "3.bin", "4.bin", "5.bin", "6.bin"];
        refused(&many, &["1.bin, 2.bin, 3.bin, 4.bin and 2 more, of which nothing is read"]);
    }

    #[test]
    fn an_adapter_in_a_pickle_is_named() {
        let dir = folder(&["adapter_model.bin", "adapter_config.json"]);
        let read = Adapter::read_tensors(dir.path(), |_, _| Ok::<_, CheckpointError>(()));
        let message = read.unwrap_err().to_string();
        assert!(
            message.contains("has no adapter_model.safetensors: it has adapter_model.bin"),
            "{message}"
        );
    }

    #[test]
    fn a_pointer_of_git_lfs_is_told_with_what_fetches_the_file() {
        let dir = folder(&[]);
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, "weights").unwrap();
        Manifest::write(dir.path()).unwrap();
        std::fs::write(&path, POINTER).unwrap();
        for error in [
            TensorFiles::open(dir.path()).unwrap_err(),
            Manifest::verify(dir.path()).unwrap_err(),
            JsonFile::parse("model.safetensors", POINTER).unwrap_err(),
        ] {
            let message = error.to_string();
            assert!(message.contains("model.safetensors\" is a Git LFS pointer"), "{message}");
            assert!(message.contains("`git lfs pull`"), "{message}");
        }
    }
}
