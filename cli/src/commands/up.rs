//! `dropmate up`: comes with the control plane's arguments.

use std::path::PathBuf;

/// Where a local control plane keeps its data unless told otherwise.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    std::env::var_os("DROPMATE_DATA_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}
