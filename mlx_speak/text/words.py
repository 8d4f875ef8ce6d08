"""What signs, units and abbreviations are called, by language: the words of `reading`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """How one language says what is not written in letters."""

    signs: dict[str, str]
    """Names of signs within names and addresses: "." → "dot"."""
    operators: dict[str, str]
    """Of signs between operands: ">=" → "is at least"."""
    units: dict[str, tuple[str, str]]
    """One and many of a unit that follows a number."""
    scales: dict[str, str]
    """Letters after a number that stand for thousands and more."""
    money: dict[str, str]
    """The same before a currency: "milhões de"."""
    currencies: dict[str, tuple[str, str, str]]
    """One and many of a currency's unit, and its cents; empty where there are none."""
    abbreviations: dict[str, str]
    """In lower case, with their stops."""
    titles: dict[str, str]
    """Abbreviations that are only read before a digit or a name: "Fig." 3, "No." 5."""
    months: tuple[str, ...]
    date: str
    """With `{day}`, `{month}`, `{year}`."""
    point: str
    """Between the numbers of a version."""
    version: str
    decimal: str
    """The mark before decimals that the language's readers expect; the other parts thousands."""
    minus: str
    about: str
    bounds: dict[str, str]
    """Of "≥5", with `{n}`."""
    number: str
    """What "#" before a number is."""
    section: str
    squared: str
    cubed: str
    power: str
    """With `{n}`."""
    root: str
    line: str
    """Of "main.py:42", with `{n}`."""
    by: str
    """In "1920x1080"."""
    of: str
    """In f(x), "f of x"; with `{f}` and `{x}`."""
    range: str
    """Between two numbers, and in place of an arrow."""
    share: str
    """Of "3/48"; with `{part}` and `{whole}`."""
    halves: dict[str, str]
    """Fractions that have names, as "1/2"."""
    times: str
    """After the number in "2x"."""
    percent: str
    seconds: str
    """After a time of day, with `{s}`."""
    clock: str
    """A time of day, with `{h}` and `{m}`; "" where it is read as it is written."""
    whole_hour: str
    cents: str
    """A price with cents, with `{whole}`, `{unit}`, `{part}` and `{cents}`."""
    more: str
    """For the rest of a long code."""
    blob: str
    """In place of a string that nobody would read out."""
    hexadecimal: str
    dunder: str
    code: str
    """In place of a code block."""
    code_in: str
    """The same with its language, `{name}`."""
    command: str
    change: str
    table: str
    link: str
    """For an address amid a sentence."""
    skipped: str
    """Where sentences are left out."""
    marks: dict[str, str]
    """Symbols that say something: "✅" → "OK"."""
    spaced: bool = True
    """Whether words are parted by spaces."""


_STATUS = {"ok": "✅✔☑✓", "bad": "❌✖✗✘❎", "warning": "⚠"}


def _marks(ok: str, bad: str, warning: str) -> dict[str, str]:
    said = {"ok": ok, "bad": bad, "warning": warning}
    return {mark: said[kind] for kind, marks in _STATUS.items() for mark in marks}


def _units(line: str) -> dict[str, tuple[str, str]]:
    """From "symbol=one/many", parted by commas; "/many" is an ending if it starts with "-"."""
    units: dict[str, tuple[str, str]] = {}
    for entry in line.split(","):
        symbols, _, names = entry.strip().partition("=")
        one, _, many = names.partition("|")
        many = one + many[1:] if many.startswith("-") else many or one
        units |= dict.fromkeys(symbols.split(), (one, many))
    return units


_EN = Words(
    signs={
        ".": "dot", "/": "slash", "\\": "backslash", "-": "dash", "@": "at", ":": "colon",
        "*": "star", "~": "tilde", "=": "equals", "+": "plus", "?": "question mark",
        "&": "and", "#": "hash", "%": "percent", "$": "dollar", ",": "comma",
    },
    operators={
        ">=": "is at least", "<=": "is at most", "≥": "is at least", "≤": "is at most",
        "!=": "is not", "≠": "is not", "==": "equals", "=": "equals", ":=": "becomes",
        ">": "is greater than", "<": "is less than", "+": "plus", "×": "times", "*": "times",
        "÷": "divided by", "/": "divided by", "−": "minus", "±": "plus or minus",
        "≈": "is about", "~=": "is about", "→": "to", "->": "to", "=>": "to", "➜": "to",
        "➡": "to", "⇒": "to", "←": "from", "↔": "to and from", "|": "pipe", "&&": "and",
        "||": "or", "&": "and", "+=": "plus equals", "-=": "minus equals",
        "∈": "in", "∞": "infinity", "·": "times", "%": "modulo", "//": "divided by",
    },
    units=_units(
        "kB KB=kilobyte|-s, MB=megabyte|-s, GB=gigabyte|-s, TB=terabyte|-s,"
        "KiB=kibibyte|-s, MiB=mebibyte|-s, GiB=gibibyte|-s, MB/s=megabyte per second|megabytes per"
        " second, GB/s=gigabyte per second|gigabytes per second, Mbps=megabit per second|megabits"
        " per second, Gbps=gigabit per second|gigabits per second,"
        "ns=nanosecond|-s, µs μs us=microsecond|-s, ms=millisecond|-s, s sec=second|-s,"
        "min=minute|-s, h hr hrs=hour|-s, Hz=hertz, kHz=kilohertz, MHz=megahertz, GHz=gigahertz,"
        "mm=millimeter|-s, cm=centimeter|-s, m=meter|-s, km=kilometer|-s, m²=square meter|-s,"
        "km²=square kilometer|-s, m³=cubic meter|-s, km/h=kilometer per hour|kilometers per hour,"
        "m/s=meter per second|meters per second, mph=mile per hour|miles per hour,"
        "mg=milligram|-s, g=gram|-s, kg=kilogram|-s, ml mL=milliliter|-s, l L=liter|-s,"
        "W=watt|-s, kW=kilowatt|-s, kWh=kilowatt hour|-s, V=volt|-s, mAh=milliamp hour|-s,"
        "dB=decibel|-s, °C ℃=degree Celsius|degrees Celsius,"
        "°F ℉=degree Fahrenheit|degrees Fahrenheit, °=degree|-s, px=pixel|-s, fps=frame per"
        " second|frames per second, rpm=revolution per minute|revolutions per minute,"
        "tok/s=token per second|tokens per second, req/s=request per second|requests per second"
    ),
    scales={"k": "thousand", "K": "thousand", "M": "million", "B": "billion"},
    money={"k": "thousand", "K": "thousand", "M": "million", "B": "billion"},
    currencies={
        "$": ("dollar", "dollars", "cents"), "US$": ("dollar", "dollars", "cents"),
        "€": ("euro", "euros", "cents"), "£": ("pound", "pounds", "pence"),
        "R$": ("real", "reais", "centavos"), "¥": ("yen", "yen", ""),
    },
    abbreviations={
        "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus",
        "approx.": "approximately", "w/o": "without", "w/": "with", "n/a": "not applicable",
        "a.k.a.": "also known as", "cf.": "compare", "a.m.": "AM", "p.m.": "PM", "avg.": "average",
        "incl.": "including", "excl.": "excluding", "resp.": "respectively", "mr.": "mister",
        "mrs.": "missus", "dr.": "doctor", "prof.": "professor", "and/or": "and or",
        "viz.": "namely", "c++": "C plus plus", "c#": "C sharp", "f#": "F sharp", "24/7": "24 7",
    },
    titles={
        "no.": "number", "fig.": "figure", "figs.": "figures", "eq.": "equation", "sec.": "section",
        "ch.": "chapter", "p.": "page", "pp.": "pages", "vol.": "volume", "ca.": "about",
        "jan.": "January", "feb.": "February", "mar.": "March", "apr.": "April", "aug.": "August",
        "sept.": "September", "sep.": "September", "oct.": "October", "nov.": "November",
        "dec.": "December",
    },
    months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
    ),
    date="{month} {day}, {year}", point="point", version="version", decimal=".", minus="minus",
    about="about",
    bounds={"≥": "at least {n}", "≤": "at most {n}", ">": "more than {n}", "<": "less than {n}"},
    number="number", section="section", squared="squared", cubed="cubed",
    power="to the power of {n}", root="the square root of", line="line {n}", by="by",
    of="{f} of {x}", range="to",
    share="{part} out of {whole}",
    halves={
        "1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter",
        "3/4": "three quarters", "1/5": "one fifth", "1/8": "one eighth", "1/10": "one tenth",
    },
    times="times", percent="percent", seconds="and {s} seconds", clock="", whole_hour="",
    cents="{whole} {unit} and {part} {cents}", more="and so on", blob="a long string",
    hexadecimal="hex", dunder="dunder",
    code="Code.", code_in="{name} code.", command="A command.", change="A change.",
    table="A table.", link="the link", skipped="Skipping ahead.",
    marks=_marks("OK", "not OK", "warning"),
)  # fmt: skip

_PT = Words(
    signs={
        ".": "ponto", "/": "barra", "\\": "barra invertida", "-": "traço", "@": "arroba",
        ":": "dois pontos", "*": "asterisco", "~": "til", "=": "igual a", "+": "mais",
        "?": "interrogação", "&": "e", "#": "cerquilha", "%": "por cento", "$": "cifrão",
        ",": "vírgula",
    },
    operators={
        ">=": "é no mínimo", "<=": "é no máximo", "≥": "é no mínimo", "≤": "é no máximo",
        "!=": "é diferente de", "≠": "é diferente de", "==": "é igual a", "=": "é igual a",
        ":=": "recebe", ">": "é maior que", "<": "é menor que", "+": "mais", "×": "vezes",
        "*": "vezes", "÷": "dividido por", "/": "dividido por", "−": "menos", "±": "mais ou menos",
        "≈": "é aproximadamente", "~=": "é aproximadamente", "→": "para", "->": "para",
        "=>": "para", "➜": "para", "➡": "para", "⇒": "para", "←": "de", "↔": "de e para",
        "|": "pipe", "&&": "e", "||": "ou", "&": "e", "+=": "mais igual a", "-=": "menos igual a",
        "∈": "em", "∞": "infinito", "·": "vezes", "%": "módulo",
        "//": "dividido por",
    },
    units=_units(
        "kB KB=quilobyte|-s, MB=megabyte|-s, GB=gigabyte|-s, TB=terabyte|-s,"
        "KiB=kibibyte|-s, MiB=mebibyte|-s, GiB=gibibyte|-s, MB/s=megabyte por segundo|megabytes por"
        " segundo, GB/s=gigabyte por segundo|gigabytes por segundo, Mbps=megabit por segundo|"
        "megabits por segundo, Gbps=gigabit por segundo|gigabits por segundo,"
        "ns=nanossegundo|-s, µs μs us=microssegundo|-s, ms=milissegundo|-s, s seg=segundo|-s,"
        "min=minuto|-s, h=hora|-s, Hz=hertz, kHz=quilohertz, MHz=megahertz, GHz=gigahertz,"
        "mm=milímetro|-s, cm=centímetro|-s, m=metro|-s, km=quilômetro|-s,"
        "m²=metro quadrado|metros quadrados, km²=quilômetro quadrado|quilômetros quadrados,"
        "m³=metro cúbico|metros cúbicos, km/h=quilômetro por hora|quilômetros por hora,"
        "m/s=metro por segundo|metros por segundo, mg=miligrama|-s, g=grama|-s, kg=quilo|-s,"
        "ml mL=mililitro|-s, l L=litro|-s, W=watt|-s, kW=quilowatt|-s, kWh=quilowatt-hora|"
        "quilowatts-hora, V=volt|-s, dB=decibel|decibéis, °C ℃=grau Celsius|graus Celsius,"
        "°F ℉=grau Fahrenheit|graus Fahrenheit, °=grau|-s, px=pixel|pixels, fps=quadro por segundo|"
        "quadros por segundo, tok/s=token por segundo|tokens por segundo"
    ),
    scales={"k": "mil", "K": "mil", "M": "milhões", "B": "bilhões"},
    money={"k": "mil", "K": "mil", "M": "milhões de", "B": "bilhões de"},
    currencies={
        "R$": ("real", "reais", "centavos"), "$": ("dólar", "dólares", "centavos"),
        "US$": ("dólar", "dólares", "centavos"), "€": ("euro", "euros", "centavos"),
        "£": ("libra", "libras", "pence"), "¥": ("iene", "ienes", ""),
    },
    abbreviations={
        "p. ex.": "por exemplo", "p.ex.": "por exemplo", "e.g.": "por exemplo", "i.e.": "isto é",
        "etc.": "etcétera", "vs.": "versus", "dr.": "doutor", "dra.": "doutora", "sr.": "senhor",
        "sra.": "senhora", "profa.": "professora", "prof.": "professor",
        "aprox.": "aproximadamente", "obs.": "observação", "n/a": "não se aplica",
        "e/ou": "e ou", "máx.": "máximo",
        "mín.": "mínimo", "ltda.": "limitada", "c++": "C mais mais", "c#": "C sharp",
        "24/7": "24 7",
    },
    titles={
        "nº": "número", "n.º": "número", "n°": "número", "fig.": "figura", "cap.": "capítulo",
        "pág.": "página", "págs.": "páginas", "p.": "página", "séc.": "século", "tel.": "telefone",
        "art.": "artigo", "vol.": "volume", "av.": "avenida",
    },
    months=(
        "janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro",
        "outubro", "novembro", "dezembro",
    ),
    date="{day} de {month} de {year}", point="ponto", version="versão", decimal=",",
    minus="menos", about="cerca de",
    bounds={"≥": "no mínimo {n}", "≤": "no máximo {n}", ">": "mais de {n}", "<": "menos de {n}"},
    number="número", section="seção", squared="ao quadrado",
    cubed="ao cubo", power="elevado a {n}", root="raiz quadrada de", line="linha {n}", by="por",
    of="{f} de {x}", range="a",
    share="{part} de {whole}",
    halves={
        "1/2": "um meio", "1/3": "um terço", "2/3": "dois terços", "1/4": "um quarto",
        "3/4": "três quartos", "1/5": "um quinto", "1/8": "um oitavo", "1/10": "um décimo",
    },
    times="vezes", percent="por cento", seconds="e {s} segundos", clock="{h} e {m}",
    whole_hour="{h} horas", cents="{whole} {unit} e {part} {cents}", more="e assim por diante",
    blob="um texto longo", hexadecimal="hexadecimal", dunder="dunder",
    code="Código.", code_in="Código em {name}.", command="Um comando.", change="Uma mudança.",
    table="Uma tabela.", link="o link", skipped="Pulando adiante.",
    marks=_marks("OK", "não OK", "atenção"),
)  # fmt: skip

_JA = Words(
    signs={
        ".": "ドット", "/": "スラッシュ", "\\": "バックスラッシュ", "-": "ハイフン",
        "@": "アットマーク", ":": "コロン", "*": "アスタリスク", "~": "チルダ", "=": "イコール",
        "+": "プラス", "?": "クエスチョン", "&": "アンド", "#": "シャープ", "%": "パーセント",
        "$": "ドル", ",": "カンマ",
    },
    operators={
        ">=": "大なりイコール", "<=": "小なりイコール", "≥": "大なりイコール",
        "≤": "小なりイコール", "!=": "ノットイコール", "≠": "ノットイコール", "==": "イコール",
        "=": "イコール", ":=": "代入", ">": "大なり", "<": "小なり", "+": "足す", "＋": "足す",
        "×": "掛ける", "*": "掛ける", "÷": "割る", "/": "割る", "−": "引く",
        "±": "プラスマイナス", "≈": "ほぼ", "~=": "ほぼ", "→": "から", "->": "から",
        "=>": "から", "➜": "から", "➡": "から", "⇒": "から", "←": "へ", "↔": "と", "|": "パイプ",
        "&&": "かつ", "||": "または", "&": "アンド", "+=": "プラスイコール",
        "-=": "マイナスイコール", "∈": "に属する", "∞": "無限大", "·": "掛ける",
        "%": "割った余り", "//": "割る",
    },
    units=_units(
        "kB KB=キロバイト, MB=メガバイト, GB=ギガバイト, TB=テラバイト,"
        "KiB=キビバイト, MiB=メビバイト, GiB=ギビバイト, MB/s=メガバイト毎秒, GB/s=ギガバイト毎秒,"
        "Mbps=メガビット毎秒, Gbps=ギガビット毎秒, ns=ナノ秒, µs μs us=マイクロ秒, ms=ミリ秒,"
        "s sec=秒, min=分, h=時間, Hz=ヘルツ, kHz=キロヘルツ, MHz=メガヘルツ, GHz=ギガヘルツ,"
        "mm=ミリメートル, cm=センチメートル, m=メートル, km=キロメートル, m²=平方メートル,"
        "km²=平方キロメートル, m³=立方メートル, km/h=キロメートル毎時, m/s=メートル毎秒,"
        "mg=ミリグラム, g=グラム, kg=キログラム, ml mL=ミリリットル, l L=リットル, W=ワット,"
        "kW=キロワット, kWh=キロワット時, V=ボルト, dB=デシベル, °C ℃=度, °F ℉=華氏度, °=度,"
        "px=ピクセル, fps=フレーム毎秒, tok/s=トークン毎秒"
    ),
    scales={"k": "千", "K": "千", "M": "百万", "B": "十億"},
    money={"k": "千", "K": "千", "M": "百万", "B": "十億"},
    currencies={
        "¥": ("円", "円", ""), "￥": ("円", "円", ""), "$": ("ドル", "ドル", "セント"),
        "US$": ("ドル", "ドル", "セント"), "€": ("ユーロ", "ユーロ", "セント"),
        "£": ("ポンド", "ポンド", "ペンス"), "R$": ("レアル", "レアル", "センターボ"),
    },
    abbreviations={
        "e.g.": "例えば", "i.e.": "すなわち", "etc.": "など", "vs.": "対", "approx.": "約",
        "n/a": "該当なし", "c++": "シープラスプラス", "c#": "シーシャープ", "㈱": "株式会社",
        "24/7": "24時間365日",
    },
    titles={"no.": "ナンバー", "fig.": "図", "p.": "ページ", "vol.": "ボリューム"},
    months=tuple(f"{month}月" for month in range(1, 13)),
    date="{year}年{month}{day}日", point="点", version="バージョン", decimal=".",
    minus="マイナス", about="約",
    bounds={"≥": "{n}以上", "≤": "{n}以下", ">": "{n}超", "<": "{n}未満"},
    number="ナンバー", section="セクション", squared="の2乗",
    cubed="の3乗", power="の{n}乗", root="ルート", line="{n}行目", by="かける",
    of="{f} {x}", range="から",
    share="{whole}分の{part}",
    halves={}, times="倍", percent="パーセント", seconds="{s}秒", clock="{h}時{m}分",
    whole_hour="{h}時", cents="{whole}{unit}{part}{cents}", more="以下省略", blob="長い文字列",
    hexadecimal="16進数", dunder="ダンダー",
    code="コードです。", code_in="{name}のコードです。", command="コマンドです。",
    change="変更です。", table="表です。", link="リンク", skipped="先に進みます。",
    marks=_marks("OK", "NG", "注意"), spaced=False,
)  # fmt: skip

WORDS = {"en": _EN, "pt": _PT, "ja": _JA}
"""By ISO 639 code. Text in other languages is left to their readers as it is written."""
