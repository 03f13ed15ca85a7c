//! Templates of the configuration, filled: what a contact or a client wrote goes in as it is, and is never read as a template.

use serde_json::Value;

use crate::domain::Message;

/// The words that templates name.
pub(super) struct Words<'a> {
    from: &'a str,
    to: &'a str,
    text: &'a str,
    id: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self {
            from: message.from.reveal(),
            to: message.to.reveal(),
            text: message.content.text().unwrap_or_default(),
            id: message.id.as_str(),
        }
    }

    fn named(&self, name: &str) -> Option<&'a str> {
        Some(match name {
            "from" => self.from,
            "to" => self.to,
            "from_digits" => self.from.trim_start_matches('+'),
            "to_digits" => self.to.trim_start_matches('+'),
            "text" => self.text,
            "id" => self.id,
            _ => return None,
        })
    }

    /// In one pass: braces in what is filled in stay what they are. `write` escapes it for where it stands.
    pub(super) fn fill(&self, template: &str, write: impl Fn(&str) -> String) -> String {
        let (mut filled, mut rest) = (String::with_capacity(template.len()), template);
        while let Some((before, behind)) = rest.split_once('{') {
            filled.push_str(before);
            match behind.split_once('}').and_then(|(name, after)| Some((self.named(name)?, after))) {
                Some((word, after)) => {
                    filled.push_str(&write(word));
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = behind;
                }
            }
        }
        filled.push_str(rest);
        filled
    }

    /// JSON whose texts are templates. Escaping is the writer's, who writes it as a whole.
    pub(super) fn fill_json(&self, template: &Value) -> Value {
        match template {
            Value::String(text) => Value::String(self.fill(text, str::to_owned)),
            Value::Array(items) => items.iter().map(|item| self.fill_json(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), self.fill_json(field))).collect()
            }
            other => other.clone(),
        }
    }
}

/// For any place in a URL (RFC 3986 §2.3), and for forms.
pub(super) fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// What stands at `data.0.id`, as text.
pub(super) fn at(value: &Value, path: &str) -> Option<String> {
    let mut found = value;
    for step in path.split('.') {
        found = match found {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            other => other.get(step)?,
        };
    }
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Content, Private, received};

    fn message(text: &str) -> Message {
        Message { content: Content::Text(Private::new(text.to_owned())), ..received(1, "+15550100001") }
    }

    #[test]
    fn nothing_that_is_filled_in_is_a_template_or_ends_its_text() {
        let message = message("\"}, {to} {\"x\":1\n\\");
        let words = Words::of(&message);
        let body = words
            .fill_json(&json!({ "to": ["{to_digits}"], "text": "<{text}>", "n": 1, "c": "{from} {nobody}" }));
        let read: Value = serde_json::from_str(&body.to_string()).unwrap();
        assert_eq!(read["text"], "<\"}, {to} {\"x\":1\n\\>");
        assert_eq!(
            (&read["to"][0], &read["n"], &read["c"]),
            (&json!("15550100001"), &json!(1), &json!("+14155550123 {nobody}"))
        );
        assert_eq!(
            words.fill("/m?to={to}&t={text}", percent),
            "/m?to=%2B15550100001&t=%22%7D%2C%20%7Bto%7D%20%7B%22x%22%3A1%0A%5C"
        );
    }

    #[test]
    fn a_path_finds_texts_and_numbers() {
        let value = json!({ "data": [{ "id": 7, "text": "x" }], "ok": true });
        assert_eq!(at(&value, "data.0.id").as_deref(), Some("7"));
        assert_eq!(at(&value, "ok").as_deref(), Some("true"));
        for none in ["data", "data.1.id", "data.x", "", "data.0.id.x"] {
            assert_eq!(at(&value, none), None, "{none}");
        }
    }
}
