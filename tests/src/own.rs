//! Users tables that an application may have had before this service came.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::create_table::builders::CreateTableFluentBuilder,
    types::{
        AttributeDefinition, AttributeValue, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};

use crate::app::{Builder, TestApp};

/// A row.
pub type Item = HashMap<String, AttributeValue>;

/// Its name.
pub const TABLE: &str = "people";
/// The settings that describe it. The names are reserved words of DynamoDB's expressions, and one has a dot in it.
const ATTRIBUTES: [(&str, &str); 4] = [
    ("USERS_TABLE", TABLE),
    ("USERS_EMAIL_ATTRIBUTE", "user.name"),
    ("USERS_PASSWORD_ATTRIBUTE", "hash"),
    ("USERS_ACTIVE_ATTRIBUTE", "status"),
];

/// A string.
#[must_use]
pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn strings<const N: usize>(
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

fn keyed_by_address(client: &Client) -> CreateTableFluentBuilder {
    let table = client.create_table().table_name(TABLE);
    strings(table, ["user.name"]).key_schema(key("user.name", KeyType::Hash))
}

fn with_index(client: &Client) -> CreateTableFluentBuilder {
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly);
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-address")
        .key_schema(key("user.name", KeyType::Hash))
        .projection(keys_only.build());
    strings(
        client.create_table().table_name(TABLE),
        ["pk", "sk", "user.name"],
    )
    .key_schema(key("pk", KeyType::Hash))
    .key_schema(key("sk", KeyType::Range))
    .global_secondary_indexes(index.build().expect("complete"))
}

/// A kind of table that an application may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Its key is the address.
    Keyed,
    /// It has a key of two other attributes, and an index.
    Indexed,
}

/// Both.
pub const BOTH: [Own; 2] = [Own::Keyed, Own::Indexed];

impl Own {
    /// A system on such a table.
    #[must_use]
    pub fn builder(self) -> Builder {
        let builder = TestApp::builder().with_cheap_hashes().without_budget();
        let builder = ATTRIBUTES
            .iter()
            .fold(builder, |builder, (name, value)| builder.set(name, value));
        match self {
            Self::Keyed => builder,
            Self::Indexed => builder.set("USERS_EMAIL_INDEX", "by-address"),
        }
        .own_users_table(self)
    }

    pub(crate) fn table(self, client: &Client) -> CreateTableFluentBuilder {
        match self {
            Self::Keyed => keyed_by_address(client),
            Self::Indexed => with_index(client),
        }
    }

    /// The primary key of a row.
    #[must_use]
    pub fn key(self, id: &str, address: &str) -> Item {
        match self {
            Self::Keyed => item([("user.name", text(address))]),
            Self::Indexed => item([("pk", text(id)), ("sk", text("PROFILE"))]),
        }
    }

    /// Puts the row of a user with the further `attributes`.
    pub async fn add<const N: usize>(
        self,
        app: &TestApp,
        id: &str,
        address: &str,
        attributes: [(&str, AttributeValue); N],
    ) {
        app.secrets.add(address);
        let mut row = self.key(id, address);
        row.insert("user.name".to_owned(), text(address));
        row.extend(item(attributes));
        app.put(TABLE, row).await;
    }

    /// The user's row.
    pub async fn row(self, app: &TestApp, id: &str, address: &str) -> Option<Item> {
        let get = app.direct().get_item().table_name(TABLE);
        let get = get.set_key(Some(self.key(id, address)));
        get.consistent_read(true)
            .send()
            .await
            .expect("an answer")
            .item
    }

    /// Deletes the user's row.
    pub async fn delete(self, app: &TestApp, id: &str, address: &str) {
        let delete = app.direct().delete_item().table_name(TABLE);
        let delete = delete.set_key(Some(self.key(id, address)));
        delete.send().await.expect("an answer");
    }
}
