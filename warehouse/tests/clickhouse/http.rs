//! The HTTP interface by hand: what curl and BI tools send.

use std::io::{Read, Write};

use crate::suite::serve::{READER, Server, WRITER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

struct Http {
    client: Client,
    url: String,
}

impl Http {
    fn get(&self, user: (&str, &str), pairs: &[(&str, &str)]) -> RequestBuilder {
        self.client
            .get(self.address(pairs))
            .basic_auth(user.0, Some(user.1))
    }

    fn post(
        &self,
        user: (&str, &str),
        pairs: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        self.client
            .post(self.address(pairs))
            .basic_auth(user.0, Some(user.1))
            .body(body)
    }

    fn address(&self, pairs: &[(&str, &str)]) -> url::Url {
        url::Url::parse_with_params(&self.url, pairs).unwrap()
    }

    /// Runs a statement as the writer.
    async fn run(&self, sql: &'static str) -> String {
        ok(self.post(WRITER, &[], sql)).await
    }
}

async fn ok(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Status, code header, and a text in ClickHouse's form.
async fn fails(request: RequestBuilder, status: u16, code: i32) {
    let response = request.send().await.unwrap();
    let found = (
        response.status().as_u16(),
        header(&response, "x-clickhouse-exception-code").to_owned(),
    );
    let text = response.text().await.unwrap();
    assert_eq!(found, (status, code.to_string()), "{text}");
    assert!(
        text.starts_with(&format!("Code: {code}. DB::Exception: ")),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_interface_behaves_like_clickhouses() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let http = Http {
        client: Client::new(),
        url: server.url(),
    };
    probes_need_no_user(&http).await;
    users_are_told_apart(&http).await;
    statements_come_in_the_url_the_body_or_both(&http).await;
    formats_and_parameters(&http).await;
    settings_end_with_their_query(&http).await;
    bodies_are_coded_both_ways(&http).await;
    readers_only_read(&http).await;
    failures_have_clickhouses_form(&http).await;
    a_late_failure_is_seen(&http).await;
    server.stop();
}

async fn probes_need_no_user(http: &Http) {
    for path in ["/ping", "/replicas_status", "/"] {
        let response = http
            .client
            .get(format!("{}{path}", http.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await.unwrap(), "Ok.\n");
    }
}

async fn users_are_told_apart(http: &Http) {
    let select = ("query", "SELECT 1");
    fails(http.client.get(http.address(&[select])), 401, 194).await;
    fails(http.get(("writer", "wrong"), &[select]), 403, 516).await;
    fails(http.get(("nobody", ""), &[select]), 403, 516).await;
    let by_header = http
        .client
        .get(http.address(&[select]))
        .header("x-clickhouse-user", READER.0)
        .header("x-clickhouse-key", READER.1);
    assert_eq!(ok(by_header).await, "1\n");
    let by_url = http.address(&[select, ("user", READER.0), ("password", READER.1)]);
    assert_eq!(ok(http.client.get(by_url)).await, "1\n");
}

async fn statements_come_in_the_url_the_body_or_both(http: &Http) {
    http.run("CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
        .await;
    ok(http.post(
        WRITER,
        &[("query", "INSERT INTO t FORMAT CSV")],
        "1,one\n2,\"two, too\"\n",
    ))
    .await;
    ok(http.post(
        WRITER,
        &[],
        "INSERT INTO t (a, b) FORMAT JSONEachRow\n{\"a\":3,\"b\":\"three\"}",
    ))
    .await;
    let response = http
        .post(
            WRITER,
            &[],
            "INSERT INTO t VALUES (4, 'FORMAT x;'), (5, '')",
        )
        .send()
        .await
        .unwrap();
    assert!(header(&response, "x-clickhouse-summary").contains("\"written_rows\":\"2\""));
    let both = http.post(WRITER, &[("query", "SELECT count(),")], "sum(a) FROM t;");
    assert_eq!(ok(both).await, "5\t15\n");
    // Rows that cannot be read are refused.
    fails(
        http.post(WRITER, &[("query", "INSERT INTO t FORMAT CSV")], "x,y\n"),
        400,
        27,
    )
    .await;
    assert_eq!(
        http.run("SELECT b FROM t WHERE a > 1 ORDER BY a").await,
        "two, too\nthree\nFORMAT x;\n\n"
    );
}

async fn formats_and_parameters(http: &Http) {
    let response = http
        .get(
            READER,
            &[
                ("query", "SELECT 1 AS x FORMAT JSONCompact"),
                ("query_id", "id-1"),
            ],
        )
        .send()
        .await
        .unwrap();
    assert_eq!(header(&response, "x-clickhouse-format"), "JSONCompact");
    assert_eq!(header(&response, "x-clickhouse-query-id"), "id-1");
    assert_eq!(
        header(&response, "content-type"),
        "application/json; charset=UTF-8"
    );
    assert!(response.text().await.unwrap().contains("\"rows\": 1"));
    let default = http.get(
        READER,
        &[
            ("query", "SELECT 1 AS x"),
            ("default_format", "JSONEachRow"),
        ],
    );
    assert_eq!(ok(default).await, "{\"x\":1}\n");
    let asked = http
        .get(READER, &[("query", "SELECT 1 AS x")])
        .header("x-clickhouse-format", "CSVWithNames");
    assert_eq!(ok(asked).await, "\"x\"\n1\n");
    let parameters = [
        ("query", "SELECT {a:String}, {b:Array(UInt8)}"),
        ("param_a", "it's \\t"),
        ("param_b", "[1,2]"),
    ];
    assert_eq!(
        ok(http.get(READER, &parameters)).await,
        "it\\'s \\t\t[1,2]\n"
    );
    let database = [
        ("query", "SELECT currentDatabase()"),
        ("database", "system"),
    ];
    assert_eq!(ok(http.get(READER, &database)).await, "system\n");
    // A format with a head and a foot is whole, however long.
    let long = http.get(
        READER,
        &[("query", "SELECT number FROM numbers(200000) FORMAT JSON")],
    );
    let parsed: serde_json::Value = serde_json::from_str(&ok(long).await).unwrap();
    assert_eq!(parsed["data"].as_array().unwrap().len(), 200_000);
    let names = ok(http.get(
        READER,
        &[(
            "query",
            "SELECT number AS n FROM numbers(200000) FORMAT TSVWithNames",
        )],
    ))
    .await;
    assert_eq!(names.lines().count(), 200_001);
}

async fn settings_end_with_their_query(http: &Http) {
    let setting = ("query", "SELECT getSetting('max_block_size')");
    assert_eq!(
        ok(http.get(WRITER, &[setting, ("max_block_size", "77")])).await,
        "77\n"
    );
    assert_ne!(ok(http.get(WRITER, &[setting])).await, "77\n");
    http.run("SET max_block_size = 77").await;
    assert_ne!(ok(http.get(WRITER, &[setting])).await, "77\n");
    fails(
        http.get(WRITER, &[setting, ("no_such_setting", "1")]),
        404,
        115,
    )
    .await;
    fails(http.get(WRITER, &[setting, ("a = 1, b", "1")]), 404, 115).await;
    let quoted = http.get(WRITER, &[setting, ("log_comment", "'; it\\'s")]);
    ok(quoted).await;
}

async fn bodies_are_coded_both_ways(http: &Http) {
    http.run("CREATE TABLE coded (a UInt32) ENGINE = MergeTree ORDER BY a")
        .await;
    let data = b"1\n2\n3\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(data).unwrap();
    let coded = [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(data.as_slice(), 1).unwrap()),
    ];
    for (name, body) in coded {
        let insert = http.post(WRITER, &[("query", "INSERT INTO coded FORMAT TSV")], body);
        ok(insert.header("content-encoding", name)).await;
    }
    let broken = http.post(
        WRITER,
        &[("query", "INSERT INTO coded FORMAT TSV")],
        "no gzip",
    );
    fails(broken.header("content-encoding", "gzip"), 500, 271).await;
    let unframed = http.post(
        WRITER,
        &[
            ("query", "INSERT INTO coded FORMAT TSV"),
            ("decompress", "1"),
        ],
        "x".repeat(99),
    );
    fails(unframed, 500, 271).await;
    assert_eq!(
        http.run("SELECT count(), sum(a) FROM coded").await,
        "6\t12\n"
    );

    let query = ("query", "SELECT number FROM numbers(100000)");
    let expected: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    for name in ["gzip", "zstd", "lz4", "deflate"] {
        let response = http
            .get(READER, &[query])
            .header("accept-encoding", name)
            .send()
            .await
            .unwrap();
        assert_eq!(header(&response, "content-encoding"), name);
        let body = response.bytes().await.unwrap();
        assert!(
            body.len() < expected.len() * 3 / 4,
            "{name} made {} bytes",
            body.len()
        );
        let mut text = String::new();
        let mut reader: Box<dyn Read> = match name {
            "gzip" => Box::new(flate2::read::GzDecoder::new(&body[..])),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(&body[..])),
            "zstd" => Box::new(zstd::Decoder::new(&body[..]).unwrap()),
            _ => Box::new(lz4_flex::frame::FrameDecoder::new(&body[..])),
        };
        reader.read_to_string(&mut text).unwrap();
        assert!(text == expected, "{name}");
    }
    let plain = http
        .get(WRITER, &[query, ("enable_http_compression", "0")])
        .header("accept-encoding", "gzip");
    assert!(ok(plain).await == expected);
    let framed = http
        .get(READER, &[query, ("compress", "1")])
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(framed[16], 0x82);
}

async fn readers_only_read(http: &Http) {
    for sql in [
        "INSERT INTO t VALUES (9, '')",
        "INSERT INTO t FORMAT CSV\n9,x\n",
        "DROP TABLE t",
        "CREATE TABLE u (a UInt8) ENGINE = Memory",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "/* not so fast */ KILL QUERY WHERE 1",
        "SYSTEM SHUTDOWN",
    ] {
        fails(http.post(READER, &[], sql), 500, 164).await;
    }
    fails(
        http.get(READER, &[("query", "SELECT 1"), ("max_threads", "7")]),
        500,
        164,
    )
    .await;
    fails(
        http.get(READER, &[("query", "SELECT 1"), ("readonly", "0")]),
        500,
        164,
    )
    .await;
    // A GET writes for nobody.
    fails(http.get(WRITER, &[("query", "DROP TABLE t")]), 500, 164).await;
    for user in [READER, WRITER] {
        fails(
            http.post(user, &[], "SELECT 1 INTO OUTFILE '/tmp/millrace-outfile'"),
            500,
            344,
        )
        .await;
        fails(http.post(user, &[], "SELECT 1; DROP TABLE t"), 400, 62).await;
    }
    assert_eq!(http.run("SELECT count() FROM t").await, "5\n");
}

async fn failures_have_clickhouses_form(http: &Http) {
    fails(
        http.post(WRITER, &[], "SELECT * FROM no_such_table"),
        404,
        60,
    )
    .await;
    fails(http.post(WRITER, &[], "SELEC 1"), 400, 62).await;
    fails(http.post(WRITER, &[], ""), 400, 62).await;
    fails(
        http.post(WRITER, &[("database", "no_such_database")], "SELECT 1"),
        404,
        81,
    )
    .await;
    fails(http.post(WRITER, &[], "SELECT {x:UInt8}"), 500, 456).await;
    fails(
        http.post(WRITER, &[("param_x", "y")], "SELECT {x:UInt8}"),
        500,
        457,
    )
    .await;
    fails(http.post(WRITER, &[], "SELECT throwIf(1)"), 500, 395).await;
    let wrong_path = http
        .client
        .get(format!("{}/elsewhere", http.url))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong_path.status(), StatusCode::NOT_FOUND);
}

async fn a_late_failure_is_seen(http: &Http) {
    let sql = "SELECT throwIf(number = 2000000) FROM numbers(3000000)";
    let response = http.get(READER, &[("query", sql)]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "x-clickhouse-exception-tag").len(), 16);
    assert!(
        response.bytes().await.is_err(),
        "a cut answer must not look whole"
    );
    // Waiting for the end gives a proper failure.
    fails(
        http.get(READER, &[("query", sql), ("wait_end_of_query", "1")]),
        500,
        395,
    )
    .await;
}
