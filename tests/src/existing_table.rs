//! Users tables that an application already had before it adopted the service.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::create_table::builders::CreateTableFluentBuilder,
    types::{
        AttributeDefinition, AttributeValue, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};

/// A row of a table.
pub type Item = HashMap<String, AttributeValue>;

/// Name of the table.
pub const TABLE: &str = "people";
/// Settings that describe the table. The attribute names are reserved words in DynamoDB
/// expressions, and one contains a dot.
const SETTINGS: [(&str, &str); 4] = [
    ("USERS_TABLE", TABLE),
    ("USERS_EMAIL_ATTRIBUTE", "user.name"),
    ("USERS_PASSWORD_ATTRIBUTE", "hash"),
    ("USERS_ACTIVE_ATTRIBUTE", "status"),
];

/// Builds a string attribute.
#[must_use]
pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Returns the names of a row's attributes, sorted.
#[must_use]
pub fn attribute_names(row: &Item) -> Vec<&str> {
    let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn with_string_attributes<const N: usize>(
    table: CreateTableFluentBuilder,
    names: [&str; N],
) -> CreateTableFluentBuilder {
    names.into_iter().fold(table, |table, name| {
        let definition = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S);
        table.attribute_definitions(definition.build().expect("complete"))
    })
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    let key = KeySchemaElement::builder().attribute_name(name);
    key.key_type(kind).build().expect("complete")
}

fn keyed_by_email(client: &Client) -> CreateTableFluentBuilder {
    let table = client.create_table().table_name(TABLE);
    with_string_attributes(table, ["user.name"]).key_schema(key("user.name", KeyType::Hash))
}

fn with_index(client: &Client) -> CreateTableFluentBuilder {
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly);
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-address")
        .key_schema(key("user.name", KeyType::Hash))
        .projection(keys_only.build());
    with_string_attributes(
        client.create_table().table_name(TABLE),
        ["pk", "sk", "user.name"],
    )
    .key_schema(key("pk", KeyType::Hash))
    .key_schema(key("sk", KeyType::Range))
    .global_secondary_indexes(index.build().expect("complete"))
}

/// Kinds of table that an application may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingTable {
    /// The key is the email address.
    KeyedByEmail,
    /// The key consists of two other attributes; an index finds users by address.
    Indexed,
}

impl ExistingTable {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::KeyedByEmail, Self::Indexed];

    /// Returns the settings that describe the table.
    pub(crate) fn settings(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let index = match self {
            Self::KeyedByEmail => None,
            Self::Indexed => Some(("USERS_EMAIL_INDEX", "by-address")),
        };
        SETTINGS.into_iter().chain(index)
    }

    pub(crate) fn create_table(self, client: &Client) -> CreateTableFluentBuilder {
        match self {
            Self::KeyedByEmail => keyed_by_email(client),
            Self::Indexed => with_index(client),
        }
    }

    /// Returns a row's primary key.
    #[must_use]
    pub fn key(self, id: &str, address: &str) -> Item {
        match self {
            Self::KeyedByEmail => item([("user.name", text(address))]),
            Self::Indexed => item([("pk", text(id)), ("sk", text("PROFILE"))]),
        }
    }
}
