"""Sentences and their phonemes, read over by hand against Kokoro's alphabet and misaki's output.

Two lines a sentence, what English engines would trip over put into words, as `read_aloud` does.
English, Japanese and espeak's languages come from hibari-tts 0.2.1, haqumei 0.12.3 and espeak-ng
1.52; another version of an engine may well read a word otherwise.
"""

from __future__ import annotations

import pytest

from mlx_speak.speech.phonemes import ALPHABET, phonemize

GOLDEN = {
    "pt": """
Olá, tudo bem com você?
  olˈa, tˈudʊ bˈAŋ koŋ vosˈe?
Todos os testes passaram.
  tˈodʊz ʊs tˈɛsʧys pˌasˈaɾɐ̃ʊ̃.
O arquivo não foi encontrado.
  u ˌaɾəkˈivʊ nˌɐ̃ʊ̃ foɪ ˌAŋkoŋtrˈadʊ.
Encontrei três erros no código!
  ˌAŋkoŋtrˈA trˈez ˈexʊz nʊ kˈɔʤiɡʊ!
A função recebe um número inteiro.
  a fũŋsˈɐ̃ʊ̃ xˌesˈɛbj ũŋ nˈũmeɾw ˌiŋtˈAɾʊ.
Vou corrigir o problema agora.
  vow kˌoxiʒˈiɾ ʊ prˌoblˈemæ ˌaɡˈɔɾæ.
Amanhã de manhã, às 10:30.
  ˌæmɐ̃ɲˈɐ̃ ʤy mɐ̃ɲˈɐ̃, aːs dˈɛs trˈiŋtæ.
O João comprou pão e maçã (e queijo).
  ʊ ʒoˈɐ̃ʊ̃ komprˈow pˈɐ̃ʊ̃ i masˈɐ̃ (i kˈAʒʊ).
São 21 linhas; 3,14 é pi.
  sɐ̃ʊ̃ vˈiŋʧyiˈũŋ lˈiɲæs; trˈes vˈirɡulˌæ katˈoɾəzy ɛ pˈi.
Execute os testes novamente: dois falharam.
  ˌezekˈuʧj ʊs tˈɛsʧyz nˌovæmˈAŋʧy: dˈoɪs fˌaljˈaɾɐ̃ʊ̃.
Minha irmã trabalha em São Paulo.
  mˌiɲæ iɾəmˈɐ̃ trˌabˈaljæ ˈAŋ sɐ̃ʊ̃ pˈWlʊ.
Que bom… vamos começar!
  ky bˈoŋ… vˌɐ̃mʊs kˌomesˈar!
A configuração está correta.
  a kˌoŋfiɡˌuɾasˈɐ̃ʊ̃ estˌa kˌoxˈɛtæ.
""",
    "es": """
¡Hola! ¿Qué tal estás?
  ˈola! kˈe tˈal estˈas?
Todas las pruebas pasaron.
  tˈoðas las pɾuˈeβas pasˈaɾon.
El archivo no existe.
  el aɾʧˈiβo nˈo eksˈiste.
Encontré tres errores en el código.
  ˌenkontɾˈe tɾˈes erˈoɾes en el kˈoðiɣo.
La función devuelve un número entero.
  la funθjˈon deβwˈelβe ˈun nˈumeɾo entˈeɾo.
Voy a corregir el problema ahora.
  bˈoɪ a kˌorexˈiɾ el pɾoβlˈema aˈoɾa.
Mañana por la mañana, a las 10:30.
  maɲˈana poɾ la maɲˈana, a las ðjˈɛθ tɾˈAnta.
Juan compró pan, leche y queso.
  xwˈan kompɾˈo pˈan, lˈeʧe i kˈeso.
Son 21 líneas; el resto está bien.
  sˈon bˌAntiˈuno lˈineas; el rˈesto estˈa βjˈen.
Ejecuta las pruebas otra vez: dos fallaron.
  ˌexekˈuta las pɾuˈeβas ˈotɾa βˈeθ: dˈos faʎˈaɾon.
«Gracias», dijo la señora.
  “ɡɾˈaθjas”, dˈixo la seɲˈoɾa.
El guitarrista perdió las llaves del coche.
  el ɣˌitarˈista peɾðjˈo las ʎˈaβes ðel kˈoʧe.
¿Quieres jugar al ajedrez?
  kjˈeɾes xuɣˈaɾ al ˌaxeðɾˈeθ?
""",
    "fr": """
Bonjour, comment allez-vous ?
  bɔ̃ʒˈuʁ, kɔmˌɑ̃ alˈevˈu?
Tous les tests sont passés.
  tu le tˈɛst sˈɔ̃ pasˈe.
Le fichier n’existe pas.
  lə fiʃjˈe nɛɡzˈist pˈa.
J’ai trouvé trois erreurs dans le code !
  ʒe tʁuvˈe tʁwˈaz ɛʁˈœʁ dɑ̃ lə kˈɔd!
La fonction renvoie un nombre entier.
  la fɔ̃ksjˈɔ̃ ʁɑ̃vwˈa œ̃ nˈɔ̃bʁ ɑ̃tjˈe.
Je vais corriger le problème maintenant.
  ʒə vˈɛ koʁiʒˈe lə pʁɔblˈɛm mɛ̃tnˈɑ̃.
Demain matin, à 10 heures.
  dəmˈɛ̃ matˈɛ̃, a dˈiz ˈœʁ.
Les enfants mangent du pain et un œuf.
  lez ɑ̃fˈɑ̃ mˈɑ̃ʒ dy pˈɛ̃ e œ̃n ˈœf.
Il y a 71 lignes ; c’est beaucoup.
  il i a swasɑ̃teˈɔ̃z lˈinj; sɛ bokˈu.
« Merci », dit-elle.
  “mɛʁsˈi”, dˈitˈɛl.
Une fille heureuse boit de l’eau fraîche.
  yn fˈij øʁˈøz bwˈa də lˈo fʁˈɛʃ.
Relancez les tests : deux ont échoué.
  ʁəlɑ̃sˈe le tˈɛst: dˈøz ˈɔ̃t eʃwˈe.
Aujourd’hui, il fait très beau…
  oʒuʁdyˈi, il fˈɛ tʁɛ bˈo…
""",
    "it": """
Ciao, come stai?
  ʧˈao, kˌome stˈaj?
Tutti i test sono passati.
  tˈutːɪ i tˈɛst sˌono paSˈatɪ.
Il file non esiste.
  il fˈile non ezˈiste.
Ho trovato tre errori nel codice!
  o trovˈato trˈe erɾˈorɪ nel kˈɔdiʧe!
La funzione restituisce un numero intero.
  la fʊnʦiˈone restitʊˈiʃe ʊn nˈumero intˈɛro.
Adesso correggo il problema.
  adˈɛSo korɾˈɛɡːo il problˈɛma.
Domani mattina, alle 10.
  domˈanɪ matːˈina, ˌalle djˈɛʧɪ.
Gli amici mangiano gli gnocchi.
  ʎɪ amˈiʧɪ mˈanʤano ʎɪ ɲˈokːɪ.
Ci sono 21 righe; il resto va bene.
  ʧɪ sˌono ventˈuno rˈiɡe; il rˈɛsto vˈa bˈɛne.
Perché no? Proviamo ancora.
  perkˌe nˈɔ? provjˈamo ankˈora.
La ragazza ha perso le chiavi della macchina.
  la raɡˈaʦːa a pˈɛrso le kjˈavɪ dˌella mˈakːina.
Grazie mille, a presto!
  ɡrˈaʦje mˈille, a prˈɛsto!
Lo zio beve il caffè (senza zucchero).
  lo ʣˈio bˈɛve il kaffˈɛ (sˌɛnʦa ʣˈukːeɾo).
""",
    "hi": """
नमस्ते, आप कैसे हैं?
  nəmˈʌsteː, ˌaːp kˈɛːseː hɛ̃?
यह फ़ाइल नहीं मिली।
  jˌəh fˈaːɪl nˈʌhĩ mˈɪli.
सभी परीक्षण सफल हुए।
  sˈʌbʰi pəɾˈiːkʃəɳ sˈʌpʰəl hˈʊeː.
मेरा नाम राम है।
  mˌeːɾaː nˈaːm ɾˈaːm hɛː.
""",
    "pt-PT": """
Todos os testes passaram.
  tˈodʊz uʃ tˈɛʃtɨʃ pˌɐsˈaɾɐ̃ʊ̃.
O ficheiro não foi encontrado.
  ʊ fˌiʃˈAɾʊ nˌɐ̃ʊ̃ foɪ ˌAŋkuŋtɹˈadʊ.
""",
    "es-MX": """
Hacemos cinco zapatos.
  asˈemos sˈinko sapˈatos.
""",
    "en-GB": """
I can't park the car over there.
  ˌI kˈɑːnt pˈɑːk ðə kˈɑː ˈQvə ðˈɛː.
The schedule was changed last night.
  ðə ʃˈɛdjuːl wɒz ʧˈAnʤd lˈɑːst nˈIt.
Go home and ask for water.
  ɡˌQ hˈQm and ˈɑːsk fɔː wˈɔːtə.
The JSON parser failed.
  ðə ʤˈAsᵊn pˈɑːzə fˈAld.
""",
    "en": """
Hello, how are you today?
  həlˈO, hˌW ɑɹ ju tədˈA?
All 42 tests passed in 3.14 seconds.
  ˈɔl fˈɔɹTi tˈu tˈɛsts pˈæst ɪn θɹˈi pYnt wˈʌn fˈɔɹ sˈɛkəndz.
I found three errors in the code!
  ˌI fˈWnd θɹˈi ˈɛɹəɹz ɪn ðə kˈOd!
The function returns an integer.
  ðə fˈʌŋkʃən ɹətˈɜɹnz ɐn ˈɪntəʤəɹ.
Let me fix the problem now.
  lˈɛt mˌi fˈɪks ðə pɹˈɑbləm nˈW.
Run pytest again; two tests failed.
  ɹˈʌn pˈI tˈɛst əɡˈɛn; tˈu tˈɛsts fˈAld.
The JSON parser in utils dot py returned None.
  ðə ʤˈAsᵊn pˈɑɹsəɹ ɪn jˈuTɪlz dˈɑt pˈI ɹətˈɜɹnd nˈʌn.
I bumped the version to 5 point 4 point 2 (it was 5 point 4 point 1).
  ˌI bˈʌmpt ðə vˈɜɹʒən tə fˈIv pˈYnt fˈɔɹ pˈYnt tˈu (ɪt wʌz fˈIv pˈYnt fˈɔɹ pˈYnt wˈʌn).
Use async functions, not threads.
  jˈuz ˌAsˈɪŋk fˈʌŋkʃənz, nˌɑt θɹˈɛdz.
The API of v2 is documented in README dot md.
  ði ˌApˌiˈI ʌv vˈi tˈu ɪz dˈɑkjəmˌɛntᵻd ɪn ɹˈid mˌi dˈɑt ˌɛmdˈi.
Push the branch to GitHub, then open a pull request.
  pˈʊʃ ðə bɹˈænʧ tə ɡˌɪthˈʌb, ðˈɛn ˈOpᵊn ɐ pˈʊl ɹəkwˈɛst.
She said, "It's done."
  ʃˌi sˈɛd, ˈɪts dˈʌn.
The meeting is on March 3rd at 10:30.
  ðə mˈiTɪŋ ɪz ˌɔn mˈɑɹʧ θˈɜɹd æt tˈɛn θˈɜɹTi.
It costs $5.00, about 50% less.
  ˌɪt kˈɔsts fˈIv dˈɑləɹz, əbˈWt fˈɪfti pəɹsˈɛnt lˈɛs.
He read the book that I read to you.
  hˌi ɹˈɛd ðə bˈʊk ðæt ˌI ɹˈɛd tə ju.
They live near a live wire.
  ðˌA lˈɪv nˌɪɹ ɐ lˈIv wˈIəɹ.
The get_user_name() method is slow.
  ðə ɡɛt jˈuzəɹ nˈAm() mˈɛθəd ɪz slˈO.
HTTP 404: the URL was not found.
  ˌAʧtˌitˌipˈi fˈɔɹ hˈʌndɹəd fˈɔɹ: ðə jˌuˌɑɹˈɛl wʌz nˌɑt fˈWnd.
First — and this matters — save the file…
  fˈɜɹst — ænd ðɪs mˈæTəɹz — sˈAv ðə fˈIl…
Don't worry, we'll see.
  dˈOnt wˈɜɹi, wil sˈi.
The config goes to stdout as YAML.
  ðə kˈɑn fˈɪɡ ɡˈOz tə stˈændəɹd ˈWt æz jˈæmᵊl.
Water, better, butter, little.
  wˈɔTəɹ, bˈɛTəɹ, bˈʌTəɹ, lˈɪTᵊl.
""",
    "ja": """
今日は3月15日、東京は晴れです。
  kʲoː βa saŋɡaʦɨ ʥɨːɡo ɲiʨi, toːkʲoː βa haɾe desɨ.
テストが12個失敗しました！
  tesɨto ɡa ʥɨːɲi ko ɕiʔpai ɕi maɕita!
彼は行くと言った。
  kaɾe βa ikɯ to iʔta.
きょうは学校へ行きました。
  kʲoː βa ɡaʔkoː e ikʲi maɕita.
こんにちは、世界。
  koɲɲiʨiβa, sekai.
私は学生ではありません。
  βataɕi βa ɡakɯseː de βa aɾʲimaseɴ.
ファイルを三つ変更して、テストを実行しました。
  ɸaiɾɯ o mʲiʔʦɨ heŋkoː ɕite, tesɨto o ʥiʔkoː ɕi maɕita.
すべてのテストが成功しました。
  sɨbete no tesɨto ɡa seːkoː ɕi maɕita.
関数の名前を変えますか？
  kaɴsɨː no namae o kaemasɨ ka?
エラーが発生したので、もう一度試してみます。
  eɾaː ɡa haʔseː ɕita node, moːiʨido tameɕite mʲimasɨ.
「はい」と答えてください。
  “hai” to kotaete kɯdasai.
データベースへの接続に失敗しました。
  deːtabeːsɨ e no seʦɨʣokɯ ɲi ɕiʔpai ɕi maɕita.
まず設定ファイルを読み込みます。
  mazɨ seʔteː ɸaiɾɯ o jomʲikomʲimasɨ.
次に、依存関係を更新しましょう。
  ʦɨɡʲiɲi, iʣoɴ kaŋkeː o koːɕiɴ ɕi maɕoː.
この問題の原因は、古いキャッシュです。
  kono mondai no ɡeɴiɴ βa, ɸɯɾɯi kʲaʔɕɨ desɨ.
3本のペンを1,234円で買った。
  saɴ boɴ no peɴ o seɴ ɲiçakɯ saɲʥɨːjo eɴ de kaʔta.
10%オフになります。
  ʥɨʔpaːsento oɸɯ ɲi naɾʲimasɨ.
2024年12月31日午後11時59分
  ɲiseɴ ɲiʥɨːjo neɴ ʥɨːɲiɡaʦɨ saɲʥɨːiʨi ɲiʨi ɡoɡo ʥɨːiʨi ʥi ɡoʥɨːkʲɨː ɸɯɴ
ちょっと待ってください。
  ʨoʔto maʔte kɯdasai.
東京タワーの高さは333メートルです。
  toːkʲoːtaβaː no takasa βa sambʲakɯ saɲʥɨːsaɴ meːtoɾɯ desɨ.
新幹線で大阪まで二時間半かかります。
  ɕiŋkaɴseɴ de oːsaka made ɲiʥikaɴ haɴ kakaɾʲimasɨ.
お客様のご意見をお聞かせください。
  okʲakɯsama no ɡo ikeɴ o o kʲikase kɯdasai.
雨が降っているから、傘を持っていきなさい。
  ame ɡa ɸɯʔte iɾɯ kaɾa, kasa o moʔte ikʲi nasai.
猫が一匹、犬が三匹います。
  neko ɡa iʔpʲikʲi, inɯ ɡa saɴ bʲikʲi imasɨ.
全部で百二十行のコードを書きました。
  ʣembɯ de çakɯ ɲiʥɨː ɡʲoː no koːdo o kakʲi maɕita.
ヴァイオリンとフォークとティーカップ。
  vaioɾʲiɴ to ɸoːkɯ to tʲiː kaʔpɯ.
きゃりーぱみゅぱみゅ
  kʲaɾʲiːpamʲɨpamʲɨ
彼女は毎朝六時に起きて、コーヒーを飲む。
  kanoʥo βa maiasa ɾokɯ ʥi ɲi okʲite, koːçiː o nomɯ.
一人で行くの？二人で行こうよ！
  çitoɾʲi de ikɯ no? ɸɯtaɾʲi de ikoː jo!
バグを修正し、コミットしました。
  baɡɯ o ɕɨːseː ɕi, komʲiʔto ɕi maɕita.
ありがとうございます。
  aɾʲiɡatoː ɡoʣaimasɨ.
申し訳ありませんが、できません。
  moːɕiβake aɾʲimaseɴ ɡa, dekʲi maseɴ.
何か質問はありますか？
  naɲi ka ɕiʦɨmoɴ βa aɾʲimasɨ ka?
明日の会議は十時からです。
  aɕita no kaiɡʲi βa ʥɨː ʥi kaɾa desɨ.
新聞を読んで、散歩に出かけた。
  ɕimbɯɴ o jonde, sampo ɲi dekaketa.
ひゃくてん満点だ。
  çakɯ teɴ manteɴ da.
プログラムがクラッシュする条件を見つけました。
  pɯɾoɡɯɾamɯ ɡa kɯɾaʔɕɨ sɨɾɯ ʥoːkeɴ o mʲiʦɨke maɕita.
メモリの使用量を半分に減らせます。
  memoɾʲi no ɕijoː ɾʲoː o hambɯɴ ɲi heɾasemasɨ.
ユーザーがログインすると、画面が表示されます。
  jɯːʣaː ɡa ɾoɡɯiɴ sɨɾɯ to, ɡameɴ ɡa çoːʥi saɾemasɨ.
変更点を要約すると、次のとおりです：一つ目は速度、二つ目は安全性。
  heŋkoː teɴ o joːjakɯ sɨɾɯ to, ʦɨɡʲi no toːɾʲi desɨ: çitoʦɨ me βa sokɯdo, ɸɯtaʦɨ me βa aɴʣeɴ seː.
「pytest」を実行してください。
  “paitesɨto” o ʥiʔkoː ɕite kɯdasai.
APIのv2はJSONを返します。
  eːpʲiːai no bɯiɲi βa ʥeisoɴ o kaeɕimasɨ.
CLIの使い方は、README.mdにあります。
  ɕiːeɾɯai no ʦɨkaikata βa, ɾʲiːdomʲiːdoʔto emɯdʲiː ɲi aɾʲimasɨ.
10:30に3〜5人で集まります。
  ʥɨː ʥi saɲʥɨʔpɯɴ ɲi saɴ kaɾa ɡo ɲiɴ de aʦɨmaɾʲimasɨ.
user_nameという変数を使う。
  jɯːʣaː neːmɯ to iɯ heɴsɨː o ʦɨkaɯ.
v1.2.3からv2.0へ上げました。
  bɯiiʔteɴ ɲi teɴ saɴ kaɾa bɯiɲiː teɴ ʣeɾo e aɡe maɕita.
""",
}


def _cases() -> list[tuple[str, str, str]]:
    cases = []
    for language, block in GOLDEN.items():
        lines = [line.strip() for line in block.strip().splitlines()]
        cases += [(language, *pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
    return cases


@pytest.mark.parametrize(("language", "text", "expected"), _cases())
def test_golden(language: str, text: str, expected: str) -> None:
    assert phonemize(text, language) == expected
    assert set(expected) <= ALPHABET
