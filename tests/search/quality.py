"""What an agent and its people said in eight threads, and what is asked about it later.

Written for this project. Threads begin on a day of 2023 and go on by a minute an entry; a question
names its answer by a piece of text that only the answer holds.
"""

from typing import Any, Final, NamedTuple

MINUTE: Final = 60_000
DAY: Final = 1440 * MINUTE
NEW_YEAR: Final = 1_672_531_200_000


class Thread(NamedTuple):
    name: str
    day: int
    """Of the year 2023, from 0 on."""
    said: str
    """A line per entry, `author: text`."""


class Asked(NamedTuple):
    kind: str
    question: str
    answer: str


THREADS: Final = (
    Thread(
        "login",
        36,  # 6 February
        """
Mara: Since this morning people get thrown out of the app after about an hour. Can you look?
assistant: I'll start with the session handling in src/auth/session.ts and the gateway logs.
tool: $ grep -rn "refreshToken" src/auth -- src/auth/session.ts:88 src/auth/refresh.ts:14
assistant: refreshToken() is only called when the response is 401, but the gateway answers 419.
Mara: 419? Who does that?
assistant: The new proxy. It was put in front of the API by the platform team last Friday.
tool: FAIL tests/auth/refresh.test.ts: expected 1 call of refreshToken, got 0 (AUTH_E_419)
assistant: I can treat both codes the same way in isExpired(), it's a one-line change.
Mara: Do that, but keep the old behaviour behind a flag.
assistant: Done: the flag is called legacyExpiry and is off by default.
tool: PASS tests/auth/refresh.test.ts (12 tests, 3.4 s)
Mara: And mobile?
assistant: The phone clients share the same module, so they get the fix with their next build.
Mara: Thanks. Please write down who has to approve the proxy's settings from now on.
assistant: Noted: changes of the proxy need a yes from Oleg.
""",
    ),
    Thread(
        "migration",
        72,  # 14 March
        """
Jonas: We have to split the orders table before it reaches two billion rows.
assistant: I suggest to partition it by month and to move the old rows in batches of 50k.
Jonas: How long would the move take?
assistant: About nine hours at the speed we measured on staging.
tool: psql: ERROR: deadlock detected (SQLSTATE 40P01) while running 0042_split_orders.sql
Jonas: Ouch. What locked it?
assistant: The nightly vacuum held a lock on orders_pkey while the batch was waiting for it.
Jonas: Can we pause autovacuum for the time?
assistant: Yes, per table: ALTER TABLE orders SET (autovacuum_enabled = false).
tool: migrated 1,250,000 of 1,998,400 rows, lag 0.8 s
Jonas: The replica in Frankfurt falls behind, look at the lag.
assistant: Its disk is the bottleneck; I lowered the batch size to 10k.
tool: 0042_split_orders.sql finished, 41 partitions, 0 rows left in orders_old
Jonas: Great. Keep orders_old for two weeks, then drop it.
assistant: I set a reminder for the drop on 28 March.
""",
    ),
    Thread(
        "cache",
        109,  # 20 April
        """
Priya: The product pages are slow again, p95 is at 2.3 seconds.
assistant: The hit rate of the page cache fell from 94% to 31% at 10:40.
Priya: What happened at 10:40?
assistant: A deploy of catalog-service 5.7.1 which put the user's currency into every key.
tool: redis-cli INFO: evicted_keys:884213 maxmemory_policy:allkeys-lru used_memory:7.98G
Priya: So the keys got too many and push each other out.
assistant: Exactly. I would build the key from currency and locale only, see buildCacheKey().
Priya: Fine. How do we notice it earlier next time?
assistant: An alarm on keyspace_misses would have rung within five minutes.
tool: created alert cache-miss-ratio (threshold 0.4, window 5m) in Grafana
Priya: Also raise the memory to 16 gigabytes until Monday.
assistant: Raised. The bill grows by about 40 dollars.
tool: deployed catalog-service 5.7.2 to eu-west-1
assistant: The pages load in 310 milliseconds now, and evictions are at zero.
Priya: Lovely, closing this one.
""",
    ),
    Thread(
        "release",
        128,  # 9 May
        """
Jonas: Let's get v2.14.0 out today. What is still open?
assistant: Two things: the changelog, and a flaky end-to-end test named checkout-retry.
Jonas: Who knows that test best?
assistant: Henrik wrote it, he is on parental leave until June.
tool: e2e/checkout-retry.spec.ts failed 3 of 20 runs: TimeoutError: waiting for #pay-now
assistant: The button is covered by the cookie banner when the machine is slow.
Jonas: Then wait for the banner to go away first.
tool: npm ERR! code ERESOLVE could not resolve dependency: peer react@"^17" from carousel@3.2.0
assistant: carousel@4.0.1 supports React 18, shall I take that one?
Jonas: Yes, and pin it.
tool: ./scripts/release.sh --channel beta --sign exited with 0
assistant: The beta is signed and uploaded. Sentry shows no new errors so far.
Jonas: Give it until four o'clock, then promote it to stable.
assistant: Promoted to stable at 16:05. The checksum starts with 9f3ac1.
Jonas: Well done everybody, cake is in the kitchen.
""",
    ),
    Thread(
        "rechnung",
        162,  # 12 June
        """
Katrin: Die Rechnungen an unsere österreichischen Kunden haben die falsche Umsatzsteuer.
assistant: Ich sehe mir die Steuersätze in config/steuer.yaml an.
tool: config/steuer.yaml: AT: 0.19, DE: 0.19, CH: 0.077
assistant: Für Österreich steht dort 19 Prozent, richtig wären 20 Prozent.
Katrin: Seit wann ist das so?
assistant: Seit dem Umbau im April, damals wurden die Länder zusammengefasst.
Katrin: Wie viele Belege sind betroffen?
tool: SELECT count(*) FROM belege WHERE land = 'AT' AND satz = 0.19 -> 213
assistant: 213 Belege. Ich kann Gutschriften und neue Rechnungen in einem Lauf erzeugen.
Katrin: Bitte erst morgen, die Buchhaltung schließt heute den Monat ab.
assistant: Gut, der Lauf ist für Dienstag 7 Uhr eingeplant.
tool: Lauf gutschrift-2023-06 beendet: 213 erzeugt, 0 Fehler
Katrin: Danke! Der Steuerberater möchte eine Liste als PDF.
assistant: Die Liste liegt unter /export/gutschriften_at.pdf.
Katrin: Perfekt, dann gehe ich jetzt in den Urlaub.
""",
    ),
    Thread(
        "検索",
        183,  # 3 July
        """
佐藤: 検索結果に古い商品が表示されます。原因を調べてください。
assistant: インデックスの更新ジョブが昨日から止まっているようです。
tool: job reindex-products: status=FAILED error=ディスク容量不足 (ENOSPC)
assistant: ディスクの空きがないため、更新ジョブが失敗しています。
佐藤: 何が容量を使っていますか。
assistant: 古いログファイルが120ギガバイトあります。
佐藤: 三十日より前のものは削除してください。
tool: removed 1,482 files under /var/log/search, 113G freed
assistant: 削除しました。ジョブを再実行しています。
佐藤: 再発を防ぐにはどうすればいいですか。
assistant: ログローテーションを毎日実行する設定を追加しました。
tool: job reindex-products: status=OK 52,310 documents
佐藤: ありがとうございます。会議は木曜日の午後三時です。
assistant: カレンダーに登録しました。
佐藤: よろしくお願いします。
""",
    ),
    Thread(
        "family",
        226,  # 15 August
        """
Mara: Can you help me plan the week? School starts again on Monday.
assistant: Of course. What has to be done first?
Mara: Leo needs new shoes, and his teeth have to be looked at.
assistant: I found a free slot at the dentist on Thursday at 9:30.
Mara: Take it. My mother arrives by train on Friday, she needs to be picked up.
assistant: Her train gets in at 18:12 on platform 7.
Mara: Leo is allergic to peanuts, remember that when you suggest recipes.
assistant: I will. How about the vegetable lasagna from last month?
Mara: He loved that one. And please order a gift for Priya, she is getting married.
assistant: Something for the kitchen, or rather a voucher?
Mara: A voucher for the pottery class would be nice.
assistant: Ordered, 80 euros, it comes by mail.
Mara: What's the wifi password for the guest room again?
assistant: You wrote it down last winter: blue-otter-42.
Mara: You're a treasure.
""",
    ),
    Thread(
        "frontend",
        274,  # 2 October
        """
Priya: Screen readers skip the price filter completely. Can we fix that this week?
assistant: The slider in PriceFilter.tsx is a plain div without role and label.
tool: axe-core: 7 violations: aria-input-field-name, color-contrast (x4), region (x2)
assistant: Using a native range input would solve five of the seven violations.
Priya: Will it look the same in Safari?
assistant: Nearly: the thumb is two pixels smaller there.
tool: Warning: Each child in a list should have a unique "key" prop. Check FilterList.
Priya: Ignore that one, Bob rewrites the list anyway.
assistant: All right. The grey of the hints was too light, I took #595959.
Priya: Does it work with the keyboard only?
assistant: Yes: arrows move by one, Page Up and Page Down by ten.
tool: git push origin fix/a11y-price-filter -> pull request 871
Priya: Bob, could you review it by Wednesday?
Bob: Looks good to me, just rename useSliderStuff to useRangeKeys.
assistant: Renamed and merged.
""",
    ),
)

QUESTIONS: Final = (
    # Identifiers alone
    Asked("id", "AUTH_E_419", "got 0 (AUTH_E_419)"),
    Asked("id", "legacyExpiry", "the flag is called legacyExpiry"),
    Asked("id", "isExpired", "both codes the same way"),
    Asked("id", "40P01", "deadlock detected"),
    Asked("id", "orders_pkey", "The nightly vacuum held"),
    Asked("id", "autovacuum_enabled", "ALTER TABLE orders SET"),
    Asked("id", "buildCacheKey", "currency and locale only"),
    Asked("id", "ERESOLVE", "npm ERR!"),
    Asked("id", "release.sh", "./scripts/release.sh"),
    Asked("id", "PriceFilter.tsx", "a plain div without role"),
    Asked("id", "gutschriften_at.pdf", "Die Liste liegt unter"),
    Asked("id", "ENOSPC", "(ENOSPC)"),
    Asked("id", "maxmemory_policy", "evicted_keys:884213"),
    # Identifiers in sentences
    Asked("id in words", "which lines mention refreshToken under src/auth", "grep -rn"),
    Asked("id in words", "did 0042_split_orders.sql finish", "41 partitions"),
    Asked("id in words", "why does checkout-retry.spec.ts time out", "waiting for #pay-now"),
    Asked("id in words", "what rate is set for AT in config/steuer.yaml", "AT: 0.19, DE"),
    Asked("id in words", "is orders_old still needed", "Keep orders_old for two weeks"),
    Asked("id in words", "which version of carousel goes with React 18", "carousel@4.0.1 supports"),
    Asked("id in words", "rename of useSliderStuff", "useRangeKeys"),
    Asked(
        "id in words", "threshold of the cache-miss-ratio alert", "created alert cache-miss-ratio"
    ),
    Asked("id in words", "catalog-service 5.7.2 rollout", "deployed catalog-service 5.7.2"),
    # No word in common with the answer
    Asked("paraphrase", "users were logged off unexpectedly", "get thrown out of the app"),
    Asked("paraphrase", "smartphone version", "The phone clients share"),
    Asked("paraphrase", "relational database conflict between transactions", "deadlock detected"),
    Asked("paraphrase", "website latency complaint", "The product pages are slow"),
    Asked("paraphrase", "extra monthly costs", "The bill grows by"),
    Asked("paraphrase", "dessert for the colleagues", "cake is in the kitchen"),
    Asked("paraphrase", "father with a newborn baby is absent", "on parental leave"),
    Asked("paraphrase", "child must not eat nuts", "allergic to peanuts"),
    Asked("paraphrase", "buying footwear for the boy", "Leo needs new shoes"),
    Asked("paraphrase", "wedding present", "please order a gift for Priya"),
    Asked("paraphrase", "blind visitors cannot use it", "Screen readers skip"),
    Asked("paraphrase", "grandma's railway arrival", "My mother arrives by train"),
    # When
    Asked("when", "When does school begin?", "School starts again on Monday"),
    Asked("when", "when was the beta promoted to stable", "Promoted to stable at 16:05"),
    Asked("when", "When is the dentist?", "Thursday at 9:30"),
    Asked("when", "when will the old orders be dropped", "a reminder for the drop"),
    Asked("when", "since when is the proxy there", "platform team last Friday"),
    Asked("when", "how long does moving the rows take", "About nine hours"),
    Asked("when", "what went wrong on 20 April 2023 with the cache", "The hit rate of the page"),
    Asked("when", "what did we plan in August", "help me plan the week"),
    Asked("when", "failed test on 2023-02-06", "got 0 (AUTH_E_419)"),
    Asked("when", "which time is Bob's review due", "review it by Wednesday"),
    # Who
    Asked("author", "What did Bob say about the pull request?", "just rename useSliderStuff"),
    Asked("author", "what did Jonas want to split", "We have to split the orders"),
    Asked("author", "Priya's wish about memory", "raise the memory to 16"),
    Asked("author", "what flag did Mara ask for", "old behaviour behind a flag"),
    Asked("author", "how long did Jonas want to wait with stable", "Give it until four"),
    Asked("author", "what gift did Mara choose", "A voucher for the pottery class"),
    # The words stand beside the answer
    Asked("neighbour", "what does mobile need for the session fix", "The phone clients share"),
    Asked("neighbour", "what happened at 10:40 to the cache", "A deploy of catalog-service"),
    Asked("neighbour", "what is the wifi password for the guest room", "blue-otter-42"),
    Asked("neighbour", "who knows the flaky test best", "Henrik wrote it"),
    Asked("neighbour", "does the price filter work with the keyboard", "arrows move by one"),
    Asked("neighbour", "cause of the deadlock in the split", "The nightly vacuum held"),
    Asked("neighbour", "when does Mara's mother's train arrive", "18:12 on platform 7"),
    # German
    Asked("german", "Wie viele Belege waren falsch?", "213 Belege. Ich kann"),
    Asked("german", "Umsatzsteuer Österreich", "haben die falsche Umsatzsteuer"),
    Asked("german", "Was möchte der Steuerberater?", "Der Steuerberater möchte"),
    Asked("german", "richtiger Prozentsatz für Österreich", "richtig wären 20 Prozent"),
    Asked("german", "Wann läuft der Lauf für die Gutschriften?", "Dienstag 7 Uhr"),
    # Japanese
    Asked("japanese", "古いログファイルの容量", "120ギガバイト"),
    Asked("japanese", "会議はいつですか", "会議は木曜日"),
    Asked("japanese", "ディスク容量不足", "error=ディスク容量不足"),
    Asked("japanese", "ログローテーションの設定", "ログローテーションを毎日"),
    Asked("japanese", "なぜ検索結果に古い商品が出るのか", "検索結果に古い商品"),
)


def entries() -> list[dict[str, Any]]:
    """As a family takes them."""
    return [
        {
            "id": f"{thread.name}-{number:02}",
            "text": text,
            "timestamp": NEW_YEAR + thread.day * DAY + (9 * 60 + number) * MINUTE,
            "metadata": {"session_id": thread.name, "author": author},
        }
        for thread in THREADS
        for number, line in enumerate(thread.said.strip().splitlines())
        for author, _, text in [line.partition(": ")]
    ]
