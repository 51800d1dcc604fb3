//! The Rust recipe in `docs/recipes.md`. `tests/stack/test_recipes.py` and the browser tests run the
//! others.

use aws::tables::Users;
use rules::address::EmailAddress;
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, user},
    recipe::{holds, sign_in},
};

#[test]
fn the_page_shows_the_tested_code() {
    let (page, tested) = (
        include_str!("../../docs/recipes.md"),
        include_str!("../src/recipe.rs"),
    );
    let (_, code) = tested.split_once("\n\n").expect("a comment, then code");
    assert!(page.contains(&format!("```rust\n{code}```")));
}

#[tokio::test]
async fn a_reset_replaces_the_password_and_ends_older_sessions() {
    let app = TestApp::builder()
        .without_email_budget()
        .user(user(ADA))
        .start()
        .await;
    let users = Users::new(app.dynamodb_client().clone(), "users".to_owned());
    let reset = async |password| {
        let link = app.request_link(ADA).await;
        app.confirm(&link.token, password).await.assert_worked();
        app.wait_for_mailer().await;
    };
    let is_in = async |email, password| {
        let user = sign_in(&users, email, password).await;
        user.expect("DynamoDB responds")
    };
    let (ada, nobody) = (
        EmailAddress::parse(ADA).expect("an address"),
        EmailAddress::parse("nobody@example.com").expect("an address"),
    );
    assert!(is_in(ADA, GOOD_PASSWORD).await.is_none());

    reset(GOOD_PASSWORD).await;
    let session = is_in(" Ada@Example.com", GOOD_PASSWORD).await;
    let epoch = session.expect("signed in").session_epoch;
    for (email, password) in [
        (ADA, OTHER_PASSWORD),
        ("nobody@example.com", GOOD_PASSWORD),
        ("nobody", GOOD_PASSWORD),
    ] {
        assert!(is_in(email, password).await.is_none(), "{email}");
    }
    let holds = async |email| {
        holds(&users, email, epoch)
            .await
            .expect("DynamoDB responds")
    };
    assert!(holds(&ada).await);
    assert!(!holds(&nobody).await);

    reset(OTHER_PASSWORD).await;
    assert!(!holds(&ada).await);
    assert!(is_in(ADA, GOOD_PASSWORD).await.is_none());
    assert!(is_in(ADA, OTHER_PASSWORD).await.is_some());

    users
        .set_active(&ada, false)
        .await
        .expect("DynamoDB responds");
    assert!(is_in(ADA, OTHER_PASSWORD).await.is_none());
}
