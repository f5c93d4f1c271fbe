//! What a tool takes: its fields, as its model is told of them, and what is wrong with one.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// One field of a tool's arguments.
pub struct Field {
    name: &'static str,
    kind: Kind,
    /// What the model is told about it.
    about: Cow<'static, str>,
    is_required: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    /// A whole number from 1 on.
    Count,
    /// The same, to this one.
    CountTo(u64),
}

impl Field {
    pub(super) fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, about: Cow::Borrowed(about), is_required: true }
    }

    pub(super) fn optional(
        name: &'static str,
        kind: Kind,
        about: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { name, kind, about: about.into(), is_required: false }
    }

    fn schema(&self) -> Value {
        let (kind, most) = match self.kind {
            Kind::Text => ("string", None),
            Kind::Flag => ("boolean", None),
            Kind::Count => ("integer", None),
            Kind::CountTo(most) => ("integer", Some(most)),
        };
        let mut schema = Map::new();
        schema.insert("type".to_owned(), kind.into());
        if kind == "integer" {
            schema.insert("minimum".to_owned(), 1.into());
        }
        if let Some(most) = most {
            schema.insert("maximum".to_owned(), most.into());
        }
        schema.insert("description".to_owned(), self.about.as_ref().into());
        schema.into()
    }

    /// What a value must be, if it is not that. A number that is too large is taken as the largest.
    fn wanted(&self, value: &Value) -> Option<&'static str> {
        let (fits, wanted) = match self.kind {
            Kind::Text => (value.is_string(), "a string"),
            Kind::Flag => (value.is_boolean(), "a boolean"),
            Kind::Count | Kind::CountTo(_) => {
                (value.as_u64().is_some_and(|number| number > 0), "a whole number, 1 or more")
            }
        };
        // Some models send null where there is nothing to say.
        let is_absent = value.is_null() && !self.is_required;
        (!fits && !is_absent).then_some(wanted)
    }
}

/// The JSON Schema of arguments with these fields.
pub(super) fn schema(fields: &[Field]) -> Value {
    let required = fields.iter().filter(|field| field.is_required).map(|field| field.name);
    let properties = fields.iter().map(|field| (field.name.to_owned(), field.schema()));
    json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "required": required.collect::<Vec<_>>(),
        "additionalProperties": false
    })
}

/// The first field that is of another kind, which serde's own message does not name.
pub(super) fn wrong_field(fields: &[Field], args: &Value) -> Option<String> {
    fields.iter().find_map(|field| {
        let wanted = field.wanted(args.get(field.name)?)?;
        Some(format!("wrong arguments: field `{}` must be {wanted}", field.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_of_fields_by_a_schema() {
        let fields = [
            Field::required("path", Kind::Text, "Where"),
            Field::optional("all", Kind::Flag, "Each"),
            Field::optional("first", Kind::Count, "From"),
            Field::optional("time", Kind::CountTo(9), "Long"),
        ];
        let expected = json!({
            "type": "object",
            "properties": {
                "path": { "type": "string", "description": "Where" },
                "all": { "type": "boolean", "description": "Each" },
                "first": { "type": "integer", "minimum": 1, "description": "From" },
                "time": { "type": "integer", "minimum": 1, "maximum": 9, "description": "Long" },
            },
            "required": ["path"],
            "additionalProperties": false,
        });
        assert_eq!(schema(&fields).to_string(), expected.to_string());
    }

    #[test]
    fn the_first_field_of_another_kind_is_named() {
        let fields = [
            Field::required("path", Kind::Text, ""),
            Field::optional("all", Kind::Flag, ""),
            Field::optional("time", Kind::CountTo(9), ""),
        ];
        let wrong = |args: Value| wrong_field(&fields, &args);
        let must = |what: &str| Some(format!("wrong arguments: field {what}"));
        assert_eq!(wrong(json!({ "path": "x", "all": true, "time": 10 })), None);
        assert_eq!(wrong(json!({ "path": "x", "all": null, "more": 1 })), None);
        assert_eq!(wrong(json!({})), None, "serde names what is missing");
        assert_eq!(wrong(json!({ "path": null })), must("`path` must be a string"));
        assert_eq!(wrong(json!({ "path": "x", "all": "yes" })), must("`all` must be a boolean"));
        for time in [json!(0), json!(-5), json!(1.5), json!("9")] {
            let told = wrong(json!({ "path": "x", "time": time }));
            assert_eq!(told, must("`time` must be a whole number, 1 or more"));
        }
    }
}
