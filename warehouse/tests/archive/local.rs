//! The archive in local files.

use crate::suite::Site;
use warehouse::archive::ArchiveOptions;

fn site() -> Site {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file:{}", directory.path().display());
    Site {
        url,
        options: ArchiveOptions::default(),
        _alive: Box::new(directory),
    }
}

suite!(site());

#[tokio::test(flavor = "multi_thread")]
async fn directories_are_named_the_way_hive_does() {
    let site = site();
    let archive = site.open().await;
    let events = crate::suite::rows::Events::of(0, 0..20);
    crate::suite::append(&archive, &archive.snapshot().await.unwrap(), &events)
        .await
        .unwrap();
    let table = std::path::Path::new(site.url.strip_prefix("file:").unwrap()).join("events");
    assert!(table.join("_delta_log/00000000000000000001.json").is_file());
    for kind in ["purchase", "user"] {
        let files = std::fs::read_dir(table.join(format!("kind={kind}/month=2024-01"))).unwrap();
        assert_eq!(files.count(), 1, "{kind}");
    }
}
