//! Passwords that are tried first: words with the usual decorations, and patterns.
//!
//! A list of words rather than of passwords: what people add to one of them to satisfy a rule (a digit, a year, an
//! exclamation mark, a zero for an o) is taken off before it is looked up, so that one word stands for thousands of entries
//! of the lists that attackers use.

/// Words that passwords of the published lists of leaks are made of, most of them of several together.
const WORDS: &[&str] = &[
    "access",
    "account",
    "admin",
    "adminadmin",
    "administrator",
    "adobe",
    "alexander",
    "amanda",
    "andrea",
    "andrew",
    "angel",
    "angels",
    "anthony",
    "apple",
    "arsenal",
    "asdf",
    "asdfasdf",
    "asdfgh",
    "asdfghjkl",
    "ashley",
    "august",
    "austin",
    "autumn",
    "babygirl",
    "bailey",
    "banana",
    "barcelona",
    "baseball",
    "basketball",
    "batman",
    "beautiful",
    "benjamin",
    "blink",
    "brandon",
    "buster",
    "butterfly",
    "carlos",
    "carolina",
    "changeit",
    "changeme",
    "changemenow",
    "charlie",
    "cheese",
    "chelsea",
    "chicken",
    "chocolate",
    "christian",
    "christopher",
    "coffee",
    "computer",
    "cookie",
    "correcthorsebatterystaple",
    "dallas",
    "daniel",
    "danielle",
    "database",
    "december",
    "default",
    "defaultpassword",
    "diamond",
    "dlc",
    "dolphin",
    "donald",
    "dragon",
    "drowssap",
    "elephant",
    "elizabeth",
    "family",
    "february",
    "ferrari",
    "flower",
    "football",
    "forever",
    "freedom",
    "friend",
    "friends",
    "fuckyou",
    "garfield",
    "ginger",
    "google",
    "gorgeous",
    "guest",
    "hannah",
    "harley",
    "heather",
    "hello",
    "helloworld",
    "hockey",
    "hunter",
    "iloveyou",
    "iloveyousomuch",
    "internet",
    "jackson",
    "january",
    "jasmine",
    "jennifer",
    "jessica",
    "jesus",
    "jesuschrist",
    "jordan",
    "joseph",
    "joshua",
    "justin",
    "killer",
    "kitten",
    "letmein",
    "letmeinnow",
    "letmeinplease",
    "liverpool",
    "london",
    "lovely",
    "loveme",
    "loveyou",
    "maggie",
    "manchester",
    "manchesterunited",
    "marina",
    "martin",
    "master",
    "matrix",
    "matthew",
    "melissa",
    "mercedes",
    "michael",
    "michelle",
    "microsoft",
    "minecraft",
    "monday",
    "monkey",
    "mother",
    "mustang",
    "mypassword",
    "nathan",
    "newpassword",
    "nicholas",
    "nicole",
    "november",
    "october",
    "orange",
    "pass",
    "passpass",
    "passphrase",
    "passw",
    "passwd",
    "password",
    "passwordpassword",
    "passwort",
    "patrick",
    "peanut",
    "pepper",
    "pokemon",
    "police",
    "postgres",
    "postgresql",
    "princess",
    "private",
    "purple",
    "qazwsx",
    "qazwsxedc",
    "qwer",
    "qwert",
    "qwerty",
    "qwertyqwerty",
    "qwertyui",
    "qwertyuiop",
    "rainbow",
    "ranger",
    "rebecca",
    "richard",
    "robert",
    "rockyou",
    "root",
    "samantha",
    "samsung",
    "scooter",
    "secret",
    "secretpassword",
    "secretsecret",
    "security",
    "september",
    "server",
    "service",
    "shadow",
    "silver",
    "soccer",
    "spring",
    "startrek",
    "starwars",
    "sterling",
    "steven",
    "summer",
    "sunday",
    "sunshine",
    "superman",
    "supersecret",
    "superstar",
    "swordfish",
    "system",
    "taylor",
    "temporary",
    "temporarypassword",
    "test",
    "tester",
    "testing",
    "testpassword",
    "testtest",
    "thomas",
    "thunder",
    "tigger",
    "trustno",
    "trustnoone",
    "unknown",
    "user",
    "username",
    "vanessa",
    "victoria",
    "walmart",
    "warcraft",
    "welcome",
    "welcomehome",
    "whatever",
    "william",
    "windows",
    "winter",
    "yankees",
    "yellow",
    "zaq",
    "zxcvbn",
    "zxcvbnm",
];

/// Rows that are typed without thinking, in either direction.
const ROWS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "`1234567890-=",
    "qwertyuiop[]\\",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiopü+",
    "azertyuiop^$",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
];

/// Whether a password in lower case is one or two of the words above, decorated as people do.
pub(super) fn is_common(password: &str) -> bool {
    let plain = undecorated(password);
    let bare = letters_for_signs(&plain);
    [
        plain.as_str(),
        bare.as_str(),
        &undecorated(&letters_for_signs(password)),
    ]
    .into_iter()
    .any(is_one_or_two_words)
}

fn is_one_or_two_words(text: &str) -> bool {
    let is_word = |text: &str| WORDS.contains(&text);
    let is_second = |rest: &str| is_word(rest.trim_matches(|c: char| !c.is_alphabetic()));
    is_word(text)
        || WORDS
            .iter()
            .filter_map(|word| text.strip_prefix(word))
            .any(|rest| !rest.is_empty() && is_second(rest))
}

/// Without what people put before and after a word.
fn undecorated(password: &str) -> String {
    password.trim_matches(|c: char| !c.is_alphabetic()).to_owned()
}

/// With the letters that people write as signs.
fn letters_for_signs(password: &str) -> String {
    password
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | '!' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            other => other,
        })
        .collect()
}

/// Whether a password in lower case is made of four different characters or fewer, a short text over and over, or rows.
pub(super) fn is_pattern(password: &str) -> bool {
    let characters: Vec<char> = password.chars().collect();
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    different.len() <= 4 || is_repetition(&characters) || is_made_of_rows(&characters)
}

fn is_repetition(characters: &[char]) -> bool {
    const LONGEST: usize = 6;
    (1..=LONGEST.min(characters.len() / 2)).any(|length| {
        let (first, rest) = characters.split_at(length);
        rest.chunks(length).all(|chunk| first.starts_with(chunk))
    })
}

/// Whether pieces of rows, each of four characters or more, make up all of it but three characters.
fn is_made_of_rows(characters: &[char]) -> bool {
    const PIECE: usize = 4;
    let rows: Vec<Vec<char>> = ROWS
        .iter()
        .flat_map(|row| [row.chars().collect(), row.chars().rev().collect()])
        .collect();
    let mut left_over = 0;
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let longest = rows
            .iter()
            .map(|row| longest_piece(row, rest))
            .max()
            .unwrap_or_default();
        if longest >= PIECE {
            at += longest;
        } else {
            left_over += 1;
            at += 1;
        }
    }
    left_over <= 3
}

/// How many of the first characters of `text` stand in `row` one after the other.
fn longest_piece(row: &[char], text: &[char]) -> usize {
    (0..row.len())
        .map(|start| row[start..].iter().zip(text).take_while(|(a, b)| a == b).count())
        .max()
        .unwrap_or_default()
}
