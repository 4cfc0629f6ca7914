//! Tables in the manner of kubectl: no lines, three blanks between columns.

use serde_json::Value;

/// A table to be printed. Cells are text already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Headings.
    pub(crate) headings: Vec<String>,
    /// Rows, each as long as the headings.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { headings: headings.iter().map(|&heading| heading.to_owned()).collect(), rows: Vec::new() }
    }

    /// The lines, columns padded to the widest cell. `widths` carries the columns' widths from earlier calls, so that
    /// the lines of a watch stay under each other.
    pub(crate) fn lines(&self, widths: &mut Vec<usize>, with_headings: bool) -> Vec<String> {
        widths.resize(self.headings.len().max(widths.len()), 0);
        let heading = with_headings.then_some(&self.headings);
        for row in heading.into_iter().chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let mut text = String::new();
            for (width, cell) in widths.iter().zip(row) {
                text += cell;
                text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
            }
            text.trim_end().to_owned()
        };
        heading.into_iter().chain(&self.rows).map(line).collect()
    }
}

/// The Table of the API as text: columns of priority 0, or all when `wide`; a first column NAMESPACE on request.
pub(crate) fn grid_of(table: &Value, columns: &Value, wide: bool, with_namespace: bool, prefix: &str) -> Grid {
    let columns: Vec<&Value> = columns.as_array().map(|columns| columns.iter().collect()).unwrap_or_default();
    let shown: Vec<usize> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| wide || column["priority"].as_i64().unwrap_or_default() == 0)
        .map(|(index, _)| index)
        .collect();
    let heading = |index: &usize| columns[*index]["name"].as_str().unwrap_or_default().to_uppercase();
    let mut grid = Grid { headings: shown.iter().map(heading).collect(), rows: Vec::new() };
    if with_namespace {
        grid.headings.insert(0, "NAMESPACE".to_owned());
    }
    for row in table["rows"].as_array().into_iter().flatten() {
        let mut cells: Vec<String> = shown.iter().map(|index| cell(&row["cells"][*index])).collect();
        if let Some(name) = cells.first_mut() {
            name.insert_str(0, prefix);
        }
        if with_namespace {
            let namespace = row.pointer("/object/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
            cells.insert(0, namespace.to_owned());
        }
        grid.rows.push(cells);
    }
    grid
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A cell with a line break would tear the table.
        Value::String(text) => text.replace(['\n', '\r', '\t'], " "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_padded_and_kept_between_calls() {
        let mut grid = Grid::new(&["NAME", "PHASE"]);
        grid.rows = vec![vec!["o-1".to_owned(), "Ready".to_owned()]];
        let mut widths = Vec::new();
        assert_eq!(grid.lines(&mut widths, true), ["NAME   PHASE", "o-1    Ready"]);
        assert_eq!(grid.lines(&mut widths, false), ["o-1    Ready"]);
    }

    #[test]
    fn wide_shows_the_columns_of_lower_priority() {
        let columns = json!([{"name": "Name", "priority": 0}, {"name": "Due", "priority": 1}]);
        let table = json!({"rows": [{"cells": ["o-1", null], "object": {"metadata": {"namespace": "acme"}}}]});
        assert_eq!(grid_of(&table, &columns, false, false, "").headings, ["NAME"]);
        let wide = grid_of(&table, &columns, true, true, "order/");
        assert_eq!(wide.rows, [["acme", "order/o-1", ""]]);
    }
}
