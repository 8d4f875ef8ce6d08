"""What coqui-tts's front end makes of sentences, for tests/speech/test_xtts_text.py.

    $(python tests/coqui.py) -m pip install pypinyin cutlet unidic-lite
    $(python tests/coqui.py) tests/xtts_front_end.py

writes tests/fixtures/xtts_front_end/: vocab.json, a small byte pair encoding in the layout of
XTTS's (whose own is on the hub only), and sentences.json, each sentence with its cleaned text and
token ids, or with the error that coqui-tts raises.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")

from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer  # noqa: E402

FOLDER = Path(__file__).parent / "fixtures" / "xtts_front_end"
TOKENS = 700
SENTENCES = {
    "en": """
        Dr. Smith paid $3.50 for 21 apples & 2nd-hand books, 50% off!
        Mrs. Jones, Capt. Lee and Sgt. Ray met at St. James, the 3rd of 101.
        It cost £1,250.75 or €5 in 1999; see #4 @ 7°.
        Version 2.13.0 took 877 ms, 48-107 ms on 16 cores.
        The "quoted" part is 1,000,000 bytes.
        1st, 2nd, 3rd, 4th, 11th, 21st and 100th of 0.
        They agreed on $1 and 1$ and $2.00.
        Acme Co. and Bolt Ltd. told Gen. Grant.
    """,
    "es": """
        El Sr. López llegó el 3º con 1.250,75 €.
        La Sra. Díaz y el Dr. Gómez pagaron 20€ y $5,50.
        Son 15 grados, 30°, el 50% & más.
        Tiene 1.000.000 de filas y 21 tablas, la 4ª vez.
    """,
    "fr": """
        M. Dupont a 2 chats et 1,5 litre d'eau.
        Mme. Curie arriva le 1er mai 1901, le 2e jour.
        Ça coûte 12,50€ ou $3 & 80%.
        Le Dr. Petit a lu 1.234 pages à 37°.
    """,
    "de": """
        Am 3. Mai kostete es 12,50€ & mehr.
        Dr. Weber und Fr. Klein haben 1.000 Seiten, 99% davon.
        Der 21. Test lief 2,5 Sekunden bei 20°.
        Das sind $4 oder £7.
    """,
    "pt": """
        A Sra. Silva pagou 20,15€.
        O Dr. Costa leu 1.234 linhas na 2ª vez, 50% delas.
        Custou $3 & £4,20 no dia 1º.
        São 37° e 2,5 metros.
    """,
    "it": """
        Il sig. Rossi ha 21 anni.
        Il Dr. Verdi pagò 3,50€ e $2 per il 50%.
        È la 3ª volta, il 1º giorno, 1.000 volte.
        Sono 2,5 litri & basta.
    """,
    "pl": """
        Mam 7 kotów i 2,5 zł.
        Dr. Nowak ma 1.000 stron & 50%.
        Zapłacił 20€ i $3,50.
    """,
    "tr": """
        İstanbul'da 15 öğrenci var.
        Dr. Özgür 3. gün 1.000 sayfa okudu.
        ÜÇ Öğrenci %50 & 2inci.
    """,
    "ru": """
        У г-на Иванова 3 кошки.
        Д-р Петров и г-жа Смирнова купили 1,000 книг за 50%.
        Это 2-й день, 3.5 часа и 21 минута.
    """,
    "nl": """
        De dhr. Jansen is 45 jaar.
        Mevr. de Vries betaalde 12,50€ & $3.
        Het is de 3de keer, de 1ste, 50% van 1.000.
    """,
    "cs": """
        Dr. Novák má 12 let.
        Ing. Dvořák přečetl 1.000 stran & 50%.
        3. května bylo 20°.
    """,
    "ar": """
        لدي 5 كتب.
        قرأت 3.5 صفحات و 100 & 50%.
        دفع $20.
    """,
    "zh": """
        今天是2024年3月5日，温度20度。
        我有2个苹果和200本书，2000米。
        价格是12.5万元，打8折，涨了3.5%。
        电话13812345678，或者010-12345678。
        3/4的人用B2B，版本号20240101。
        98年12月，10块钱，102个，1050页，22000人。
        他说：“你好！”（真的？）
    """,
    "hu": """
        A Dr. Nagy 8 éves.
        A 3. nap 1.000 oldal & 50%.
        Fizetett 20€ és $3,50.
    """,
    "ko": """
        안녕하세요, 사과 3개 주세요.
        2024년 5월 1일에 50% 할인 & 3번째.
        값은 3.5 달러입니다.
    """,
    "ja": """
        こんにちは、東京の天気は25度です。
        テストは3件失敗しました。ファイルを開きます！
        Claudeがコードを書いています。
    """,
    "hi": """
        नमस्ते दुनिया & सब!
        यह एक परीक्षण है।
        मेरे पास 4 किताबें हैं।
    """,
}


def train(texts: list[str]) -> Tokenizer:
    """A byte pair encoding of cleaned texts, with XTTS's special tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    codes = [code if code != "zh" else "zh-cn" for code in SENTENCES]
    special = ["[STOP]", "[UNK]", "[SPACE]", *(f"[{code}]" for code in codes), "[START]"]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=TOKENS, special_tokens=special, show_progress=False)
    )
    return tokenizer


def main() -> None:
    front_end = VoiceBpeTokenizer()
    rows = []
    for language, block in SENTENCES.items():
        for text in map(str.strip, block.strip().splitlines()):
            try:
                row = {"clean": front_end.preprocess_text(text, language)}
            except Exception as error:  # as it comes: it is part of what is compared
                row = {"error": repr(error)}
            rows.append({"language": language, "text": text, **row})
    FOLDER.mkdir(parents=True, exist_ok=True)
    tokenizer = train([row["clean"] for row in rows if "clean" in row])
    tokenizer.save(str(FOLDER / "vocab.json"), pretty=False)
    front_end = VoiceBpeTokenizer(FOLDER / "vocab.json")
    for row in rows:
        if "clean" in row:
            row["ids"] = front_end.encode(row["text"], row["language"])
    packages = ("coqui-tts", "num2words", "pypinyin", "cutlet", "unidic-lite", "ko-speech-tools")
    made_by = {package: version(package) for package in packages}
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(made_by)
    (FOLDER / "sentences.json").write_text(
        f'{{"made_by": {head},\n"sentences": [\n{lines}\n]}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main()
