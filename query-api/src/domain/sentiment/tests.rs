use super::*;

fn label(comment: &str) -> Label {
    sentiment(comment, None).label
}

fn expect(language: &str, label_of: &[(&str, Label)]) {
    for (comment, label) in label_of {
        let found = sentiment(comment, None);
        assert_eq!(found.label, *label, "{comment} {found:?}");
        assert_eq!(
            (found.language.as_str(), found.method),
            (language, METHOD),
            "{comment}"
        );
        let tagged = sentiment(comment, Some(language));
        assert_eq!(tagged, found, "the tag says the same");
    }
}

#[test]
fn english_comments() {
    expect(
        "en",
        &[
            (
                "The staff were friendly and the room was spotless and clean.",
                Label::Positive,
            ),
            (
                "Terrible. Rude staff, dirty room, never again!",
                Label::Negative,
            ),
            ("I can't recommend this place.", Label::Negative),
            ("It was not bad at all.", Label::Positive),
            ("No problems, no delays, no hassle.", Label::Positive),
            ("The parcel arrived on Tuesday.", Label::Neutral),
            (
                "The food was good, but the service was awful.",
                Label::Negative,
            ),
            (
                "The service was slow, but the food was wonderful.",
                Label::Positive,
            ),
            ("Not only helpful, also very kind.", Label::Positive),
            ("I would like to know when it opens.", Label::Neutral),
            ("It didn't work and nobody answered.", Label::Negative),
            ("Far from perfect.", Label::Negative),
            ("So far so good!", Label::Positive),
            ("Best purchase I have made 👍", Label::Positive),
            ("The app crashes all the time", Label::Negative),
        ],
    );
}

#[test]
fn french_comments() {
    expect(
        "fr",
        &[
            (
                "Personnel très accueillant et chambre propre.",
                Label::Positive,
            ),
            (
                "Service lent et personnel désagréable, à éviter.",
                Label::Negative,
            ),
            ("Ce n'est pas bon.", Label::Negative),
            ("J'aime pas du tout.", Label::Negative),
            ("Aucun problème, livraison rapide.", Label::Positive),
            ("C'est pas mal.", Label::Positive),
            ("Ce n'est pas mal.", Label::Positive),
            ("Cher Monsieur, ce n'est pas terrible.", Label::Negative),
            (
                "La chambre est belle mais le personnel est odieux et incompétent.",
                Label::Negative,
            ),
            ("Le colis est arrivé mardi.", Label::Neutral),
            ("Je suis très déçue de votre service.", Label::Negative),
            ("Parfait", Label::Positive),
            ("Rien à redire !", Label::Positive),
        ],
    );
}

#[test]
fn arabic_comments() {
    expect(
        "ar",
        &[
            ("الخدمة ممتازة والموظفون ودودون جداً", Label::Positive),
            ("تجربة سيئة للغاية، لا أنصح بهذا المكان", Label::Negative),
            ("المكان ليس نظيفا", Label::Negative),
            ("لا توجد مشكلة", Label::Positive),
            ("الغرفة جميلة لكن الخدمة بطيئة", Label::Negative),
            ("وصل الطرد يوم الثلاثاء", Label::Neutral),
            ("شكراً لكم على حسن التعاون", Label::Positive),
            ("تأخير كبير وإهمال من الموظفين", Label::Negative),
        ],
    );
}

#[test]
fn russian_comments() {
    expect(
        "ru",
        &[
            ("Отличный сервис, вежливый персонал!", Label::Positive),
            (
                "Ужасное обслуживание, долго ждали и нам нагрубили.",
                Label::Negative,
            ),
            ("Мне не понравилось.", Label::Negative),
            ("Без проблем, всё быстро.", Label::Positive),
            ("Номер красивый, но персонал грубый.", Label::Negative),
            ("Посылка пришла во вторник.", Label::Neutral),
            ("Добрый день, когда вы открываетесь?", Label::Neutral),
            (
                "Приложение не работает, очень разочарована.",
                Label::Negative,
            ),
            ("Неплохо и недорого.", Label::Positive),
        ],
    );
}

#[test]
fn what_counted_is_shown_and_makes_the_score() {
    let found = sentiment(
        "Good room. Slow, but very HELPFUL staff; not friendly though.",
        Some("en-GB"),
    );
    let words: Vec<(&str, f64)> = found
        .words
        .iter()
        .map(|word| (word.word.as_str(), word.weight))
        .collect();
    assert_eq!(
        words,
        [
            ("Good", 2.0),
            ("Slow", -1.0),
            ("HELPFUL", 3.9),
            ("friendly", -1.48)
        ]
    );
    let sum: f64 = 2.0 - 1.0 + 3.9 - 1.48;
    assert!((found.score - sum / (sum * sum + 15.0).sqrt()).abs() < 1e-4);
    let phrase = sentiment("Never again.", None);
    assert_eq!(
        phrase.words,
        [Word {
            word: "Never again".to_owned(),
            weight: -3.0
        }]
    );
}

#[test]
fn strength_orders_scores() {
    let score = |comment| sentiment(comment, Some("en")).score;
    let rising = [
        score("very bad"),
        score("bad"),
        score("slightly bad"),
        score("the parcel"),
        score("slightly good"),
        score("good"),
        score("very good"),
        score("very good and absolutely wonderful"),
    ];
    assert!(rising.windows(2).all(|w| w[0] < w[1]), "{rising:?}");
    let most = "wonderful ".repeat(10_000);
    assert!(score(&most) <= 1.0 && score(&most) > 0.99);
    assert_eq!(score("good, bad"), 0.0);
}

#[test]
fn a_negation_ends_with_its_clause() {
    assert_eq!(label("No, the staff was great."), Label::Positive);
    assert_eq!(label("No complaints, great staff"), Label::Positive);
    assert_eq!(label("Was it not great?"), Label::Negative);
}

#[test]
fn what_has_no_lexicon_is_said_to_have_none() {
    let german = sentiment("Das war schlecht.", Some("de-AT"));
    assert_eq!(
        (german.label, german.score, german.method),
        (Label::Neutral, 0.0, NO_METHOD)
    );
    assert_eq!(german.language, "de");
    for comment in ["とても良い", "", "12345", "Das war schlecht."] {
        let found = sentiment(comment, None);
        assert!(found.words.is_empty() && found.score == 0.0, "{comment}");
    }
    assert_eq!(sentiment("とても良い", None).language, "und");
    assert_eq!(sentiment("خوب بود", Some("fa")).method, NO_METHOD);
    // A tag of another script than the comment's is the customer's, not the comment's.
    assert_eq!(sentiment("ممتاز", Some("fr")).language, "ar");
    assert_eq!(sentiment("👍", Some("ru")).language, "ru");
    assert_eq!(sentiment("👍", None).label, Label::Positive);
}
