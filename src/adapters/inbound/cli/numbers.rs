//! How many there are, so that it can be read.

/// A number with its thousands told apart: 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something whose plural has an s: "1 coupon", "1,200 coupons".
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        let told = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(told, ["0", "999", "1,000", "1,234,567"]);
        let told = [0, 1, 1200].map(|number| counted(number, "coupon"));
        assert_eq!(told, ["0 coupons", "1 coupon", "1,200 coupons"]);
    }
}
