//! Users in a table that an application already had.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{
    app::TestApp,
    builder::Builder,
    existing_table::{ExistingTable, Item, TABLE, item, text},
};

impl ExistingTable {
    /// Returns a builder of a system with such a table.
    #[must_use]
    pub fn builder(self) -> Builder {
        let builder = TestApp::builder()
            .with_cheap_hashes()
            .without_email_budget();
        let set = |builder: Builder, (name, value)| builder.set(name, value);
        self.settings()
            .fold(builder, set)
            .existing_users_table(self)
    }

    /// Puts a user's row with additional `attributes`.
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

    /// Returns the user's row.
    pub async fn row(self, app: &TestApp, id: &str, address: &str) -> Option<Item> {
        let get = app.dynamodb_client().get_item().table_name(TABLE);
        let get = get.set_key(Some(self.key(id, address)));
        get.consistent_read(true)
            .send()
            .await
            .expect("a response")
            .item
    }

    /// Deletes the user's row.
    pub async fn delete(self, app: &TestApp, id: &str, address: &str) {
        let delete = app.dynamodb_client().delete_item().table_name(TABLE);
        let delete = delete.set_key(Some(self.key(id, address)));
        delete.send().await.expect("a response");
    }
}
