"""Katakana to Kokoro's phonemes: the table of misaki 0.7, on whose output Kokoro v1.0 was trained.

Source: misaki 0.7.4 `ja.py` (0.9.4 `cutlet.py`), Apache-2.0, its mora readings regrouped by row.
ー is length, ッ a glottal stop; ン takes the place of articulation of what follows inside a word.
"""

from __future__ import annotations

_ROWS = """
ア a   イ i    ウ ɯ   エ e   オ o      ァ a   ィ i   ゥ ɯ   ェ e   ォ o
カ ka  キ kʲi  ク kɯ  ケ ke  コ ko     キャ kʲa  キュ kʲɨ  キョ kʲo  キェ kʲe
ガ ɡa  ギ ɡʲi  グ ɡɯ  ゲ ɡe  ゴ ɡo     ギャ ɡʲa  ギュ ɡʲɨ  ギョ ɡʲo
サ sa  シ ɕi   ス sɨ  セ se  ソ so     シャ ɕa   シュ ɕɨ   ショ ɕo   シェ ɕe
ザ ʣa  ジ ʥi   ズ zɨ  ゼ ʣe  ゾ ʣo     ジャ ʥa   ジュ ʥɨ   ジョ ʥo   ジェ ʥe
タ ta  チ ʨi   ツ ʦɨ  テ te  ト to     チャ ʨa   チュ ʨɨ   チョ ʨo   チェ ʨe
ダ da  ヂ ʥi   ヅ zɨ  デ de  ド do     ヂャ ʥa   ヂュ ʥɨ   ヂョ ʥo
ナ na  ニ ɲi   ヌ nɯ  ネ ne  ノ no     ニャ ɲa   ニュ ɲɨ   ニョ ɲo   ニェ ɲe
ハ ha  ヒ çi   フ ɸɯ  ヘ he  ホ ho     ヒャ ça   ヒュ çɨ   ヒョ ço   ヒェ çe
バ ba  ビ bʲi  ブ bɯ  ベ be  ボ bo     ビャ bʲa  ビュ bʲɨ  ビョ bʲo
パ pa  ピ pʲi  プ pɯ  ペ pe  ポ po     ピャ pʲa  ピュ pʲɨ  ピョ pʲo
マ ma  ミ mʲi  ム mɯ  メ me  モ mo     ミャ mʲa  ミュ mʲɨ  ミョ mʲo
ヤ ja  ユ jɯ   ヨ jo  ャ ja  ュ jɯ  ョ jo
ラ ɾa  リ ɾʲi  ル ɾɯ  レ ɾe  ロ ɾo     リャ ɾʲa  リュ ɾʲɨ  リョ ɾʲo
ワ βa  ヮ βa  ヰ i  ヱ e  ヲ o  ヵ ka  ヶ ke
イェ je   ウィ βi   ウェ βe   ウォ βo
クァ kᵝa  クィ kᵝi  クェ kᵝe  クォ kᵝo   グァ ɡᵝa  グィ ɡᵝi  グェ ɡᵝe  グォ ɡᵝo
ツァ ʦa   ツィ ʦʲi  ツェ ʦe   ツォ ʦo
ティ tʲi  テュ tʲɨ  ディ dʲi  デュ dʲɨ  トゥ tɯ   ドゥ dɯ
ファ ɸa   フィ ɸʲi  フェ ɸe   フォ ɸo   フュ ɸʲɨ  フョ ɸʲo
ヴ vɯ     ヴァ va   ヴィ vʲi  ヴェ ve   ヴォ vo   ヴュ bʲɨ  ヴョ bʲo
ヷ va     ヸ vʲi    ヹ ve     ヺ vo
"""
_cells = _ROWS.split()
MORAE: dict[str, str] = dict(zip(_cells[::2], _cells[1::2], strict=True))

_SMALL_VOWELS = frozenset("ャュョァィゥェォ")

# The nasal ン before a sound, by that sound's first symbol; elsewhere ɴ.
_NASALS = {
    **dict.fromkeys("mpb", "m"),
    **dict.fromkeys("kɡ", "ŋ"),
    **dict.fromkeys("ɲʨʥ", "ɲ"),
    **dict.fromkeys("ntdɾz", "n"),
}


def kana_to_phonemes(kana: str) -> str:
    """Phonemes of one word written in katakana as it is pronounced; other characters are dropped.

    The word's last ン is ɴ, for its neighbour is out of sight, as it was in training.
    """
    phonemes: list[str] = []
    position = len(kana)
    while position > 0:  # from the end, since ン depends on what follows
        pair, kind = kana[max(position - 2, 0) : position], kana[position - 1]
        following = phonemes[-1][:1] if phonemes else ""
        if len(pair) == 2 and pair in MORAE:
            phonemes.append(MORAE[pair])
            position -= 2
            continue
        if len(pair) == 2 and kind in _SMALL_VOWELS and pair[0] in MORAE:
            phonemes.append(MORAE[pair[0]][:-1] + MORAE[kind])  # a rare pair such as スィ: s + i
            position -= 2
            continue
        position -= 1
        if kind == "ン":
            phonemes.append(_NASALS.get(following, "ɴ"))
        elif kind == "ッ":
            phonemes.append("ʔ")
        elif kind == "ー":
            phonemes.append("ː")
        elif kind in MORAE:
            phonemes.append(MORAE[kind])
    return "".join(reversed(phonemes))
