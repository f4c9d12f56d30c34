//! What tokens cost.
//!
//! **Definition.** A [`Price`] is one model's list price; a [`Tariff`] is what applies to one request.
//!
//! **Wanted properties.** The budget holds: an unknown model, and an unknown version of a known family, costs as much
//! as the dearest row. Money is whole micro-USD and rounded up; rates are thousandths of a USD per million tokens,
//! which is the same number as nano-USD per token.
//!
//! **Design.** A row is found by the exact model id, a date or `latest` behind it ignored. Rows of the configuration
//! come before the built-in ones, so that a new model or a negotiated price needs no new version of the program.

use std::borrow::Cow;

/// Tokens of one request, by what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Input tokens that no cache knew.
    pub(crate) input: u64,
    /// Output tokens, thinking included.
    pub(crate) output: u64,
    /// Input tokens read from the cache.
    pub(crate) cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub(crate) cache_write: u64,
    /// Input tokens written to the cache for an hour.
    pub(crate) cache_write_hour: u64,
    /// Web searches that the API made for the model.
    pub(crate) searches: u64,
}

/// Prices in thousandths of a USD per million tokens: 3 USD per million input tokens is `input: 3_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Input tokens that no cache knew.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_hour: u64,
}

impl Rates {
    /// The usual shape of a price: writing the cache costs 5/4 of the input for five minutes and twice the input for
    /// an hour.
    #[must_use]
    pub const fn new(input: u64, output: u64, cache_read: u64) -> Self {
        Self { input, output, cache_read, cache_write: input * 5 / 4, cache_write_hour: input * 2 }
    }
}

/// One model's list price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The model's id without a date, such as `claude-opus-4-8`.
    pub model: Cow<'static, str>,
    /// The price of a request.
    pub rates: Rates,
    /// Above this many input tokens (cached ones included) these rates hold for the whole request.
    pub long_prompt: Option<(u64, Rates)>,
}

const fn row(model: &'static str, rates: Rates) -> Price {
    Price { model: Cow::Borrowed(model), rates, long_prompt: None }
}

const fn long(model: &'static str, rates: Rates, above: u64, dearer: Rates) -> Price {
    Price { model: Cow::Borrowed(model), rates, long_prompt: Some((above, dearer)) }
}

const DEAREST: Rates = Rates::new(15_000, 75_000, 1_500);
const OPUS: Rates = Rates::new(5_000, 25_000, 500);
const SONNET: Rates = Rates::new(3_000, 15_000, 300);
const SONNET_LONG: Rates = Rates::new(6_000, 22_500, 600);

/// List prices of Anthropic's API.
static LIST: [Price; 27] = [
    row("claude-3-haiku", Rates::new(250, 1_250, 30)),
    row("claude-3-5-haiku", Rates::new(800, 4_000, 80)),
    row("claude-haiku-4-5", Rates::new(1_000, 5_000, 100)),
    long("claude-haiku-5-5", Rates::new(100, 500, 10), 100_000, Rates::new(500, 2_500, 50)),
    row("claude-3-5-sonnet", SONNET),
    row("claude-3-7-sonnet", SONNET),
    long("claude-sonnet-4", SONNET, 200_000, SONNET_LONG),
    long("claude-sonnet-4-0", SONNET, 200_000, SONNET_LONG),
    long("claude-sonnet-4-5", SONNET, 200_000, SONNET_LONG),
    row("claude-sonnet-4-6", SONNET),
    row("claude-sonnet-5", Rates::new(2_000, 10_000, 200)),
    row("claude-sonnet-5-5", Rates::new(2_000, 10_000, 100)),
    row("claude-opus-4", DEAREST),
    row("claude-opus-4-0", DEAREST),
    row("claude-opus-4-1", DEAREST),
    row("claude-opus-4-5", OPUS),
    row("claude-opus-4-6", OPUS),
    row("claude-opus-4-7", OPUS),
    row("claude-opus-4-8", OPUS),
    row("claude-opus-5", OPUS),
    row("claude-opus-5-5", Rates::new(4_000, 20_000, 200)),
    row("claude-fable-5", Rates::new(10_000, 50_000, 1_000)),
    row("claude-fable-5-1", Rates::new(10_000, 50_000, 250)),
    row("claude-fable-5-2", Rates::new(8_000, 40_000, 200)),
    row("claude-mythos-5", Rates::new(10_000, 50_000, 1_000)),
    row("claude-mythos-5-1", Rates::new(10_000, 50_000, 250)),
    row("claude-mythos-5-2", Rates::new(8_000, 40_000, 200)),
];

/// The dearest factor that any model has for its fast mode.
const FAST_FACTOR: u128 = 6;
const SEARCH_NANO_USD: u128 = 10_000_000;

/// What applies to one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tariff {
    rates: Rates,
    long_prompt: Option<(u64, Rates)>,
    fast: bool,
}

impl Tariff {
    /// The tariff of `model`: the first matching row of `own`, then of the built-in list, then the dearest.
    pub(crate) fn of(model: &str, fast: bool, own: &[Price]) -> Self {
        let found = own.iter().chain(&LIST).find(|price| is_version_of(model, &price.model));
        let (rates, long_prompt) = found.map_or((DEAREST, None), |price| (price.rates, price.long_prompt));
        Self { rates, long_prompt, fast }
    }

    /// The price of `tokens` in micro-USD, rounded up.
    pub(crate) fn cost(&self, tokens: &Tokens) -> u64 {
        let Tokens { input, output, cache_read, cache_write, cache_write_hour, searches } = *tokens;
        let prompt = [cache_read, cache_write, cache_write_hour].iter().fold(input, |sum, n| sum.saturating_add(*n));
        let rates = match self.long_prompt {
            Some((above, rates)) if prompt > above => rates,
            Some(_) | None => self.rates,
        };
        let price = |count: u64, rate: u64| u128::from(count) * u128::from(rate);
        let nano = price(input, rates.input)
            .saturating_add(price(output, rates.output))
            .saturating_add(price(cache_read, rates.cache_read))
            .saturating_add(price(cache_write, rates.cache_write))
            .saturating_add(price(cache_write_hour, rates.cache_write_hour));
        let nano = nano.saturating_mul(if self.fast { FAST_FACTOR } else { 1 });
        let nano = nano.saturating_add(u128::from(searches) * SEARCH_NANO_USD);
        u64::try_from(nano.div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

/// Whether `model` is `id`, or `id` with a date (`-20250929`, `@20250929`) or `-latest` behind it.
fn is_version_of(model: &str, id: &str) -> bool {
    let Some(rest) = model.strip_prefix(id) else {
        return false;
    };
    let is_date = |text: &str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    rest.is_empty() || rest == "-latest" || rest.strip_prefix(['-', '@']).is_some_and(is_date)
}

/// `micro_usd` as people write it: `5.00 USD`, and all digits that matter when cents do not suffice.
pub(crate) fn usd(micro_usd: u64) -> String {
    let (whole, part) = (micro_usd / 1_000_000, micro_usd % 1_000_000);
    let digits = format!("{part:06}");
    let digits = digits.trim_end_matches('0');
    format!("{whole}.{digits:0<2} USD")
}

#[cfg(test)]
mod tests {
    use super::{Price, Rates, Tariff, Tokens, usd};

    const MILLION: Tokens =
        Tokens { input: 1_000_000, output: 0, cache_read: 0, cache_write: 0, cache_write_hour: 0, searches: 0 };

    #[test]
    fn every_name_of_a_model_finds_its_row_and_unknown_ones_the_dearest() {
        let cases = [
            ("claude-opus-4-5", 5.0),
            ("claude-opus-4-5-20251101", 5.0),
            ("claude-opus-4-20250514", 15.0),
            ("claude-opus-4@20250514", 15.0),
            ("claude-3-5-haiku-latest", 0.8),
            ("claude-haiku-4-5-20251001", 1.0),
            ("claude-sonnet-4-6", 3.0),
            ("claude-opus-4-99", 15.0),
            ("claude-opus-4-5-cheap", 15.0),
            ("gpt-5", 15.0),
            ("", 15.0),
        ];
        for (model, dollars) in cases {
            let cost = Tariff::of(model, false, &[]).cost(&MILLION);
            assert_eq!(cost as f64 / 1e6, dollars, "{model}");
        }
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let tariff = Tariff::of("claude-opus-4-8", false, &[]);
        let none = Tokens::default();
        let cases = [
            (Tokens { output: 1_000, ..none }, 25_000),
            (Tokens { cache_read: 1_000, ..none }, 500),
            (Tokens { cache_write: 1_000, ..none }, 6_250),
            (Tokens { cache_write_hour: 1_000, ..none }, 10_000),
            (Tokens { searches: 2, ..none }, 20_000),
            (Tokens { cache_read: 1, ..none }, 1), // half a micro-USD is rounded up
            (none, 0),
        ];
        for (tokens, micro_usd) in cases {
            assert_eq!(tariff.cost(&tokens), micro_usd, "{tokens:?}");
        }
        let endless = Tokens { input: u64::MAX, output: u64::MAX, ..none };
        assert_eq!(tariff.cost(&endless), u64::MAX);
    }

    #[test]
    fn long_prompts_and_the_fast_mode_cost_more() {
        let tokens = Tokens { input: 150_000, cache_read: 60_000, output: 1_000, ..Tokens::default() };
        assert_eq!(Tariff::of("claude-sonnet-4-5", false, &[]).cost(&tokens), 900_000 + 36_000 + 22_500);
        assert_eq!(Tariff::of("claude-sonnet-4-6", false, &[]).cost(&tokens), 450_000 + 18_000 + 15_000);
        assert_eq!(Tariff::of("claude-sonnet-4-6", true, &[]).cost(&tokens), 6 * 483_000);
    }

    #[test]
    fn own_prices_come_first() {
        let own = [Price { model: "claude-opus-4-8".into(), rates: Rates::new(1, 2, 3), long_prompt: None }];
        assert_eq!(Tariff::of("claude-opus-4-8", false, &own).cost(&MILLION), 1_000);
        assert_eq!(Tariff::of("claude-opus-4-7", false, &own).cost(&MILLION), 5_000_000);
    }

    #[test]
    fn money_is_written_with_cents_and_no_digit_is_lost() {
        let cases = [(0, "0.00 USD"), (5_000_000, "5.00 USD"), (2_500_000, "2.50 USD"), (12_345, "0.012345 USD")];
        for (micro_usd, text) in cases {
            assert_eq!(usd(micro_usd), text);
        }
    }
}
