//! Label selectors: `tier in (gold,silver),!held,zone!=east`, read as Kubernetes reads them, with its texts for what is
//! wrong.

use std::collections::BTreeMap;

use dropmate_api::validation::names;

/// One requirement; all of a selector's must hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LabelTerm {
    /// Has one of the values, which are in order.
    In(String, Vec<String>),
    /// Has none of the values, which are in order, or is not there.
    NotIn(String, Vec<String>),
    /// Is there.
    Exists(String),
    /// Is not there.
    Absent(String),
    /// Is a number above (or else below) this one.
    Compared { key: String, above: bool, bound: i64 },
}

impl LabelTerm {
    /// Whether an object with these labels is meant.
    pub(super) fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = |key: &String| labels.get(key).map(String::as_str);
        let among = |values: &[String], held: &str| values.binary_search_by(|value| value.as_str().cmp(held)).is_ok();
        match self {
            Self::In(key, values) => label(key).is_some_and(|held| among(values, held)),
            Self::NotIn(key, values) => label(key).is_none_or(|held| !among(values, held)),
            Self::Exists(key) => label(key).is_some(),
            Self::Absent(key) => label(key).is_none(),
            Self::Compared { key, above, bound } => label(key)
                .and_then(|held| held.parse::<i64>().ok())
                .is_some_and(|held| if *above { held > *bound } else { held < *bound }),
        }
    }

    /// How many values it names: what reading it costs.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::In(_, values) | Self::NotIn(_, values) => values.len(),
            _ => 1,
        }
    }
}

/// Reads a selector.
pub(super) fn parse(text: &str) -> Result<Vec<LabelTerm>, String> {
    let mut tokens = Tokens { rest: text };
    let mut terms = Vec::new();
    loop {
        match tokens.peek() {
            Token::End => return Ok(terms),
            Token::Word(_) | Token::Sign("!") => {}
            other @ Token::Sign(_) => {
                return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.literal()));
            }
        }
        terms.push(tokens.term().map_err(|why| format!("unable to parse requirement: {why}"))?);
        match tokens.next() {
            Token::End => return Ok(terms),
            Token::Sign(",") => match tokens.peek() {
                Token::Word(_) | Token::Sign("!") => {}
                other => return Err(format!("found '{}', expected: identifier after ','", other.literal())),
            },
            other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.literal())),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    End,
    Word(&'a str),
    Sign(&'a str),
}

impl<'a> Token<'a> {
    fn literal(self) -> &'a str {
        match self {
            Self::End => "",
            Self::Word(text) | Self::Sign(text) => text,
        }
    }
}

/// The longest come first where one begins another.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Token<'a> {
        Self { rest: self.rest }.next()
    }

    fn next(&mut self) -> Token<'a> {
        let text = self.rest.trim_start_matches(is_space);
        let (token, length) = if text.is_empty() {
            (Token::End, 0)
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            let length = text.find(|c| is_special(c) || is_space(c)).unwrap_or(text.len());
            (Token::Word(&text[..length]), length)
        };
        self.rest = &text[length..];
        token
    }

    fn term(&mut self) -> Result<LabelTerm, String> {
        let absent = self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key.to_owned(),
            other => return Err(format!("found '{}', expected: identifier", other.literal())),
        };
        let wrong = names::qualified_name(&key);
        if !wrong.is_empty() {
            return Err(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; ")));
        }
        if absent {
            return Ok(LabelTerm::Absent(key));
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(LabelTerm::Exists(key));
        }
        match self.next() {
            Token::Word("in") => Ok(LabelTerm::In(key.clone(), checked(&key, self.values()?)?)),
            Token::Word("notin") => Ok(LabelTerm::NotIn(key.clone(), checked(&key, self.values()?)?)),
            Token::Sign("=" | "==") => Ok(LabelTerm::In(key.clone(), checked(&key, vec![self.value()?])?)),
            Token::Sign("!=") => Ok(LabelTerm::NotIn(key.clone(), checked(&key, vec![self.value()?])?)),
            Token::Sign(sign @ ("<" | ">")) => {
                let value = self.value()?;
                let bound = value.parse().map_err(|_| {
                    format!(
                        "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    )
                })?;
                Ok(LabelTerm::Compared { key, above: sign == ">", bound })
            }
            other => Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.literal())),
        }
    }

    /// One value, which may be empty.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Sign(",") => Ok(String::new()),
            Token::Word(value) => {
                self.next();
                Ok(value.to_owned())
            }
            other @ Token::Sign(_) => Err(format!("found '{}', expected: identifier", other.literal())),
        }
    }

    /// `(a, b,)`, where what is missing beside a comma is the empty text.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Sign("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.literal())),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(value) => {
                    values.push(value.to_owned());
                    match self.next() {
                        Token::Sign(",") => {}
                        Token::Sign(")") => return Ok(values),
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.literal())),
                    }
                }
                Token::Sign(",") => values.push(String::new()),
                // Behind a comma, or with nothing before it.
                Token::Sign(")") => {
                    values.push(String::new());
                    return Ok(values);
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.literal())),
            }
        }
    }
}

/// The values in order, each once, if they may be values of labels.
fn checked(key: &str, mut values: Vec<String>) -> Result<Vec<String>, String> {
    values.sort_unstable();
    values.dedup();
    let refusals: Vec<String> = values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| {
            let wrong = names::label_value(value);
            (!wrong.is_empty())
                .then(|| format!("values[{index}][{key}]: Invalid value: {value:?}: {}", wrong.join("; ")))
        })
        // One bad value of thousands says enough.
        .take(10)
        .collect();
    match refusals.as_slice() {
        [] => Ok(values),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("app=shop", true)]
    #[case("app==shop,tier=a", true)]
    #[case("app!=shop", false)]
    #[case("zone!=x", true)]
    #[case("app in (shop, other)", true)]
    #[case("app in(other,shop)", true)]
    #[case("app notin (shop)", false)]
    #[case("zone notin (x)", true)]
    #[case("zone in ()", false)]
    #[case("none in (x,)", true)]
    #[case("none in (,x)", true)]
    #[case("none=", true)]
    #[case("none=,app", true)]
    #[case("app", true)]
    #[case("!app", false)]
    #[case("!zone , app", true)]
    #[case("! zone", true)]
    #[case("example.com/app=", false)]
    #[case("count>6", true)]
    #[case("count<7", false)]
    #[case("app>6", false)]
    #[case("app in (in, notin, shop)", true)]
    #[case("", true)]
    #[case(" ", true)]
    fn a_label_selector_means_what_kubernetes_means(#[case] text: &str, #[case] expected: bool) {
        let labels = [("app", "shop"), ("tier", "a"), ("none", ""), ("count", "7")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let holds = parse(text).unwrap().iter().all(|term| term.holds(&labels));
        assert_eq!(holds, expected, "{text}");
    }

    #[rstest]
    #[case("app=a b", "found 'b', expected: ',' or 'end of string'")]
    #[case("=x", "found '=', expected: !, identifier, or 'end of string'")]
    #[case("app in shop", "unable to parse requirement: found 'shop' expected: '('")]
    #[case("app in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'")]
    #[case("app in (a", "unable to parse requirement: found '', expected: ',' or ')'")]
    #[case("app,", "found '', expected: identifier after ','")]
    #[case("app,,tier", "found ',', expected: identifier after ','")]
    #[case("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")]
    #[case("!", "unable to parse requirement: found '', expected: identifier")]
    #[case("!app=x", "found '=', expected: ',' or 'end of string'")]
    #[case(
        "count>x",
        "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
    )]
    fn a_broken_label_selector_is_refused_in_the_words_of_kubernetes(#[case] text: &str, #[case] why: &str) {
        assert_eq!(parse(text).unwrap_err(), why, "{text}");
    }

    #[test]
    fn a_bad_key_and_a_bad_value_are_named() {
        let key = parse("a&b").unwrap_err();
        assert!(key.starts_with("unable to parse requirement: <nil>: Invalid value: \"a&b\": name part must"), "{key}");
        let value = parse("app=-x").unwrap_err();
        assert!(
            value.starts_with("unable to parse requirement: values[0][app]: Invalid value: \"-x\": a valid label"),
            "{value}"
        );
    }
}
