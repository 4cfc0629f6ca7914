//! Cuts a stream of text into documents at `---` and `...`, holding no more than one document at a time.

use std::{
    io::{self, BufRead},
    sync::Arc,
};

use super::{Document, MAX_DOCUMENT_BYTES, Problem};

/// The documents of one input, in order. One that is too large is skipped and reported; the next follows.
pub(crate) struct Documents<R> {
    reader: R,
    file: Arc<str>,
    /// Line about to be read, from 1.
    line: usize,
    /// The separator that ended the document before belongs to the text of the next: `--- {a: 1}` is legal.
    held: Option<Vec<u8>>,
    done: bool,
}

impl<R: BufRead> Documents<R> {
    /// The documents of `reader`, named `file` in problems.
    pub(crate) fn new(file: &str, reader: R) -> Self {
        Self { reader, file: file.into(), line: 1, held: None, done: false }
    }

    fn problem(&self, line: Option<usize>, message: String) -> Problem {
        Problem { file: Arc::clone(&self.file), line, message }
    }

    /// Reads one line with its end. A line longer than a document may be comes in pieces.
    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.reader, MAX_DOCUMENT_BYTES as u64 + 1);
        limited.read_until(b'\n', &mut line)?;
        Ok(line)
    }
}

impl<R: BufRead> Iterator for Documents<R> {
    type Item = Result<Document, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let mut text = self.held.take().unwrap_or_default();
            // A held separator has been counted already.
            let start = if text.is_empty() { self.line } else { self.line - 1 };
            let mut bytes = text.len();
            loop {
                let line = match self.read_line() {
                    Ok(line) => line,
                    Err(error) => {
                        self.done = true;
                        return Some(Err(self.problem(Some(self.line), format!("cannot be read: {error}"))));
                    }
                };
                if line.is_empty() {
                    self.done = true;
                    break;
                }
                if line.ends_with(b"\n") {
                    self.line += 1;
                }
                if is_separator(&line) && !only_directives(&text) {
                    self.held = Some(line);
                    break;
                }
                bytes += line.len();
                if bytes <= MAX_DOCUMENT_BYTES {
                    text.extend_from_slice(&line);
                } else {
                    // Only counted from here on.
                    text = Vec::new();
                }
            }
            if bytes > MAX_DOCUMENT_BYTES {
                let message = format!("the document that starts here has {bytes} bytes; at most 3 MiB are taken");
                return Some(Err(self.problem(Some(start), message)));
            }
            if is_blank(&text) {
                continue;
            }
            return Some(match String::from_utf8(text) {
                Ok(text) => Ok(Document { file: Arc::clone(&self.file), line: start, text: without_bom(text) }),
                Err(error) => {
                    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                    let line = start + valid.split(|byte| *byte == b'\n').count() - 1;
                    Err(self.problem(Some(line), "is not UTF-8 text".to_owned()))
                }
            });
        }
        None
    }
}

/// `---` or `...` at the start of a line, alone or before white space.
fn is_separator(line: &[u8]) -> bool {
    let marker = line.starts_with(b"---") || line.starts_with(b"...");
    marker && line.get(3).is_none_or(u8::is_ascii_whitespace)
}

/// Whether nothing but `%YAML` lines came so far: the `---` after them opens the same document.
fn only_directives(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).peekable();
    lines.peek().is_some()
        && lines.all(|line| line.starts_with(b"%") || line.starts_with(b"#"))
        && text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"%"))
}

/// Whether a document says nothing: separators, comments and white space.
fn is_blank(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').enumerate().all(|(index, line)| {
        let line = if index == 0 && is_separator(line) { &line[3..] } else { line };
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii();
        line.is_empty() || line.starts_with(b"#")
    })
}

fn without_bom(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, String)> {
        Documents::new("f.yaml", text.as_bytes())
            .map(|document| document.map_or_else(|p| (p.line.unwrap(), p.message), |d| (d.line, d.text)))
            .collect()
    }

    #[test]
    fn documents_are_cut_at_separators_and_know_their_first_line() {
        let documents = cut("a: 1\n---\nb: 2\n--- # next\nc: 3\n...\n");
        let lines: Vec<usize> = documents.iter().map(|d| d.0).collect();
        assert_eq!(lines, [1, 2, 4]);
        assert_eq!(documents[1].1, "---\nb: 2\n");
    }

    #[test]
    fn documents_without_content_are_left_out() {
        assert_eq!(cut("# only a comment\n---\n\n---\n"), []);
        assert_eq!(cut(""), []);
    }

    #[test]
    fn a_dash_inside_a_line_or_a_block_does_not_cut() {
        assert_eq!(cut("text: |\n  ---\n  more\nother: a --- b\n").len(), 1);
        assert_eq!(cut("----\n").len(), 1);
    }

    #[test]
    fn directives_stay_with_their_document() {
        assert_eq!(cut("%YAML 1.2\n---\na: 1\n").len(), 1);
    }

    #[test]
    fn a_document_over_three_mebibytes_is_refused_by_its_first_line_and_the_next_one_is_read() {
        let text = format!("a: 1\n---\nb: {}\n---\nc: 3\n", "x".repeat(4 * 1024 * 1024));
        let documents = cut(&text);
        assert_eq!(documents[1].0, 2);
        assert!(documents[1].1.contains("at most 3 MiB"), "{}", documents[1].1);
        assert_eq!(documents[2], (4, "---\nc: 3\n".to_owned()));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_with_their_line() {
        let mut documents = Documents::new("f.yaml", &b"a: 1\nb: \xff\n"[..]);
        assert_eq!(documents.next().unwrap().unwrap_err().line, Some(2));
    }
}
