//! What managers are told of an answer.

/// Longest answer that is kept.
const CHARACTERS_MAX: usize = 300;

/// An answer in one line, bounded, without the recipient's address: whoever may see the message sees it there.
pub(super) fn told(answer: &str, to: &str) -> String {
    let answer = if to.is_empty() { answer.to_owned() } else { answer.replace(to, "(recipient)") };
    let mut line = answer.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut told = line.next().unwrap_or_default().to_owned();
    for word in line {
        told.push(' ');
        told.push_str(word);
    }
    if told.chars().count() > CHARACTERS_MAX {
        told = told.chars().take(CHARACTERS_MAX - 1).chain(['…']).collect();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_of_bounded_length_and_names_nobody() {
        let answer = "550 5.1.1 <ada@example.org>:\r\n\tUser\u{0} unknown";
        assert_eq!(told(answer, "ada@example.org"), "550 5.1.1 <(recipient)>: User unknown");
        let long = told(&"é".repeat(1_000), "");
        assert_eq!((long.chars().count(), long.chars().last()), (CHARACTERS_MAX, Some('…')));
        assert_eq!(told("", ""), "");
    }
}
