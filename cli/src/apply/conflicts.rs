//! Fields that others own, told as a table with the way out.

use crate::{
    connection::Refusal,
    output::{self, Grid},
};

/// More rows help nobody, and memory is for the run.
const ROWS_MAX: usize = 200;

/// A field that the manifest would change and somebody else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The field: `spec.priority`.
    pub(super) field: String,
    /// Whose it is: `kubectl-edit`.
    pub(super) owner: String,
}

/// The conflicts that a refusal tells of; none if it is another refusal.
pub(super) fn of(refusal: &Refusal) -> Vec<Conflict> {
    let causes = refusal.details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
    causes
        .map(|cause| Conflict { field: cause.field.trim_start_matches('.').to_owned(), owner: owner(&cause.message) })
        .collect()
}

/// `conflict with "kubectl-edit" using dropmate.dev/v1` → `kubectl-edit`; a part is told: `agent (status)`.
fn owner(message: &str) -> String {
    let text = message.strip_prefix("conflict with ").unwrap_or(message);
    let mut quoted = text.split('"').skip(1).step_by(2);
    match (quoted.next(), quoted.next()) {
        (Some(name), Some(part)) => format!("{name} ({part})"),
        (Some(name), None) => name.to_owned(),
        _ => text.to_owned(),
    }
}

/// The conflicts of a run, for its end.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    rows: Vec<Vec<String>>,
    count: usize,
}

impl Conflicts {
    /// Takes in those of an object.
    pub(super) fn add(&mut self, place: &str, object: &str, conflicts: &[Conflict]) {
        self.count += conflicts.len();
        let room = ROWS_MAX.saturating_sub(self.rows.len());
        let row = |Conflict { field, owner }: &Conflict| {
            vec![object.to_owned(), field.clone(), owner.clone(), place.to_owned()]
        };
        self.rows.extend(conflicts.iter().take(room).map(row));
    }

    /// Tells of them all, if there are any.
    pub(super) fn tell(&self) {
        if self.count == 0 {
            return;
        }
        output::note("\nThese fields belong to others, who gave them other values:");
        let mut grid = Grid::new(&["OBJECT", "FIELD", "OWNER", "MANIFEST"]);
        grid.rows.clone_from(&self.rows);
        for line in grid.lines(&mut Vec::new(), true) {
            output::note(format!("  {line}"));
        }
        if self.count > self.rows.len() {
            output::note(format!("  … and {} more", self.count - self.rows.len()));
        }
        output::note(
            "Take them out of the manifest to leave them to their owners, or take them over with --force-conflicts.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_told_by_name() {
        assert_eq!(owner("conflict with \"kubectl-edit\" using dropmate.dev/v1"), "kubectl-edit");
        assert_eq!(owner("conflict with \"mgr-a\""), "mgr-a");
        assert_eq!(owner("conflict with \"dispatch\" with subresource \"status\""), "dispatch (status)");
    }
}
