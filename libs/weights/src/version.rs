//! Names of the files that policy versions are kept in.

/// Name of the file of a version, in every folder that holds one.
pub(crate) fn file_name(version: u64) -> String {
    format!("v{version}.safetensors")
}

/// The version that a file name stands for; nothing for any other file.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.strip_suffix(".safetensors")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_version_back() {
        assert_eq!(parse_file_name(&file_name(41)), Some(41));
    }

    #[test]
    fn other_files_are_no_versions() {
        for name in ["v41.safetensors.tmp", "model.safetensors", "vx.safetensors", "v41"] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
