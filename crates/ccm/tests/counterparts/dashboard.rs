//! The dashboard in a real browser, over the real demo.

use fantoccini::Locator;
use serde_json::json;

use super::browser::Browser;
use super::process::{Service, id};

/// In a page, until it is loaded anew.
const MARK: &str = "window.notLoadedSince = true";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_watches_and_merges_in_the_browser() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), "", &["demo", "--listen", "127.0.0.1:0"]).await;
    let browser = Browser::open(1280, 900).await;
    browser.goto(&service.sign_in).await;
    browser.click("form[action='/sign-in'] button").await;
    browser.until("two proposals", "document.querySelectorAll('#col-proposed .card').length >= 2").await;
    browser.fits("the board").await;
    let board = browser.page.window().await.unwrap();
    browser.run(MARK).await;

    let link = browser.page.find(Locator::Css("#col-proposed .card a.title")).await.unwrap();
    let (title, path) = (link.text().await.unwrap(), link.attr("href").await.unwrap().unwrap());
    let tab = browser.page.new_window(true).await.unwrap();
    browser.page.switch_to_window(tab.handle).await.unwrap();
    browser.goto(&service.page(&path)).await;
    browser.click("form[action$='/approve'] button").await;
    browser.until("the approval", "!document.querySelector(\"form[action$='/approve']\")").await;
    browser.run(MARK).await;
    browser.until("the transcript", "document.querySelectorAll('#transcript-lines li').length >= 3").await;
    browser.until("the review", "document.querySelector(\"form[action$='/merge'] button\")").await;
    browser.until("the diff", "document.querySelector('table.diff tr.add')").await;
    browser.until("the summary in the transcript", "document.querySelector('#transcript-lines li.finish')").await;
    assert_eq!(browser.run("return window.notLoadedSince").await, json!(true), "the page was loaded anew");
    browser.fits("a task in review").await;
    browser.click("form[action$='/merge'] button").await;
    browser.until("the merge", "!document.querySelector(\"form[action$='/merge']\")").await;

    browser.page.switch_to_window(board).await.unwrap();
    let done = format!("document.querySelector(\"#col-done a[href='{path}']\")");
    browser.until("the task in the column of what is done", &done).await;
    assert_eq!(browser.run("return window.notLoadedSince").await, json!(true), "the board was loaded anew");
    assert_eq!(browser.run(&format!("return {done}.textContent")).await, json!(title));
    browser.fits("the board with a task done").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;

    on_a_telephone(&service).await;
    service.stop().await;
    let left: Vec<_> = std::fs::read_dir(dir.path().join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

/// Every page fits a narrow window, also for somebody who signs in with the token.
async fn on_a_telephone(service: &Service) {
    let browser = Browser::open(390, 844).await;
    browser.goto(&service.page("/repositories")).await;
    browser.page.find(Locator::Css("#secret")).await.unwrap().send_keys(&service.token()).await.unwrap();
    browser.click("form[action='/sign-in'] button").await;
    browser.until("the repositories", "location.pathname == '/repositories' && document.querySelector('#live')").await;
    browser.fits("the repositories").await;
    let tasks = service.get("tasks").await["tasks"].as_array().unwrap().clone();
    assert!(tasks.len() >= 3, "{tasks:#?}");
    for task in &tasks {
        browser.goto(&service.page(&format!("/tasks/{}", id(task)))).await;
    }
    for path in ["/", "/?closed=1", "/ranking", "/health"] {
        browser.goto(&service.page(path)).await;
        browser.until("the live connection", "document.querySelector('#link[data-state=on]')").await;
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}
