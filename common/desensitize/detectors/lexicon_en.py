"""What the English rules know about words: names, ordinary words, places, eponyms, and endings of medical terms.

The lists of names are facts out of Faker's providers (MIT; ``names_en.json`` says which version); the short ones below
are our own. Every look-up is by ``name_key``: lower case, without accents.
Not handled here: context; a word alone decides nothing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

_LETTERS = {
    "ß": "ss",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ð": "d",
    "\u0131": "i",
    "\u2019": "'",
}
_TABLE = str.maketrans(_LETTERS)


def name_key(word: str) -> str:
    """``word`` in lower case and without accents: "Szöllősy" and "SZOLLOSY" are one name."""
    lower = word.lower()
    if lower.isascii():
        return lower
    decomposed = unicodedata.normalize("NFD", lower.translate(_TABLE))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


MONTHS_AND_DAYS = _set("""january february march april may june july august september october november december jan feb
mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri
sat sun christmas easter thanksgiving halloween spring summer autumn winter""")

EPONYMS = _set("""newton avogadro planck boltzmann faraday ohm hertz joule pascal euler gauss bayes poisson
abderhalden addison adie albright alport alzheimer angelman apgar asperger babinski baker barlow
barr barrett bartholin basedow batten becker behcet bell bence berger bernard billroth bowen bright broca brodie brown
brugada budd burkitt byler caplan caroli carpenter chagas charcot chediak chiari chron conn cooley cooper coombs crigler
crohn cushing dandy darier down dressler duane dubin duchenne dupuytren ebstein edwards ehlers eisenmenger epstein erb
evans ewing fabry fallot fanconi felty fisher fitzgerald foley fournier freud friedreich gaucher gilbert gilles
glasgow goodpasture gottron graves guillain guthrie hansen hartnup hashimoto heimlich henoch hirschsprung hodgkin holt
horner hunter huntington hurler jacob jakob jones kaposi kawasaki kearns kernig klinefelter klippel korsakoff krabbe
laurence leber legionnaire leigh lennox lesch lewy lou lowe lyme lynch marfan mccune mendel meniere menkes merkel
milroy morton munchausen murphy neer noonan ollier osgood osler paget parkinson pasteur pearson peyronie pick pierre
poland pompe pott prader prinzmetal quincke raynaud reiter rett reye riley rinne romberg rorschach rotor rubinstein
sandhoff schonlein scheuermann sezary sheehan sjogren smith steinert stevens still sturge sydenham takayasu tay
thomsen tourette trendelenburg treacher turner usher valsalva virchow waardenburg waldenstrom weber wegener weil werner
wernicke west whipple williams wilms wilson wiskott wolf wolff zellweger zollinger barré kaplan meier cox fisher
student bonferroni likert wilcoxon mann whitney kruskal wallis pearson spearman friedman tukey bland altman markov
mcnemar egger beck hamilton karnofsky barthel gleason apgar ranson ishak fontan whipple roux pfannenstiel kocher
mallory hartmann ross nissen heller maze bankart latarjet kirschner ilizarov bayes bayesian poisson gram western
southern northern coxiella salmonella listeria shigella brucella rickettsia bartonella""")
"""Names of people that stand for a disease, a sign, a test or a method; names only beside a cue."""

TERM_HEADS = _set("""law laws number constant second third equation theorem principle
disease diseases syndrome syndromes disorder sign signs test tests score scores scale index
criteria classification staging stage grade anemia anaemia lymphoma sarcoma tumor tumour carcinoma cancer esophagus
oesophagus palsy chorea contracture fracture hernia phenomenon reflex reaction method procedure operation technique
maneuver manoeuvre law curve plot correction model models analysis distribution regression coefficient virus bacillus
fever thyroiditis nephropathy cyst duct gland node nodes body bodies cell cells stain staining agar medium solution
position incision repair transposition catheter tube forceps clamp retractor ataxia dystrophy neuropathy encephalopathy
epilepsy gangrene ulcer esophagitis colitis arteritis purpura malformation anomaly tetralogy sequence complex
questionnaire inventory checklist survey trial study studies effect equation formula hypothesis estimator process
chain statistics statistic""")
"""Nouns that make a term of the name before them."""

ORG_HEADS = _set("""inc inc. ltd ltd. llc llp plc corp corp. co co. gmbh ag sa bv nv oy ab company corporation
incorporated limited group holdings partners associates sons brothers bank trust insurance hospital clinic center
centre institute institution university college school academy foundation society association department ministry
agency committee council commission court church museum library press journal records radio orchestra band festival
award prize cup stadium arena airport station bridge river lake mountain mount valley bay island islands street road
avenue boulevard lane drive park county city town village district state province act bill theory theorem principle
theatre theater studio studios pictures films entertainment systems technologies technology solutions software
international media news times post magazine team club fc united league""")

TITLES = _set("""mr mrs ms miss mx dr prof professor doctor sir madam dame lord lady rev reverend fr father sister
brother hon judge capt captain lt sgt col gen maj officer detective nurse rn np pa md do president senator
congressman governor mayor minister king queen prince princess pope saint uncle aunt auntie cousin grandma grandpa
dear hi hello hey thanks mister mme mlle herr frau signor signora señor señora sra don doña""")

CREDENTIALS = (
    "MD|M\\.D\\.|DO|D\\.O\\.|RN|NP|PA-C|PA|PhD|Ph\\.D\\.?|DDS|DMD|MBBS|FRCS|MRCP|LPN|LCSW|PharmD|DPM|CRNA|FACS"
    "|FACP|MSN|BSN|DNP|APRN|CNM|Esq\\.?|CPA|CFA|JD|MBA|MPH"
)

PARTICLES = _set("""van von de der den del della dela da di du la le ten ter te af av bin ibn al el y dos das do zu
zur vom zum st st. o' d' san santa e i""")

SUFFIXES = _set("jr jr. sr sr. ii iii iv")

_FUNCTION_WORDS = _set("""the a an and or but if then else when where why how what who whom whose which this that these
those there here he she it we they i you me him her us them my your his its our their mine yours hers ours theirs is am
are was were be been being do does did done have has had having will would shall should can could may might must not no
nor yes so too very just only also as at by for from in into of off on onto out over to under up upon with within
without about above across after again against all almost along already although always among another any anyone
anything around away back because before behind below beneath beside between both during each either enough even ever
every everyone everything few further however instead least less like many more most much near neither never next
none nobody nothing now once one two three four five six seven eight nine ten hundred thousand million other others
our ourselves own per perhaps quite rather same several since some someone something somewhere soon still such than
though through throughout thus till together toward towards until unless unlike usually via well whether while yet
please thank thanks sorry hello hi hey dear welcome okay ok today tomorrow yesterday tonight first second third last
new old good bad great big small long short high low early late according based due using used see seen let lets make
made get got go went come came take took give gave say said says tell told ask asked need needs want wants know known
think thought look find found show shows call called try use work works help start started keep kept put set run mean
means become became leave left turn follow followed following include includes including however therefore moreover
furthermore additionally despite whereas meanwhile finally recently currently previously generally specifically""")

_MEDICAL_WORDS = _set("""patient patients history exam examination assessment plan diagnosis diagnoses findings
impression medication medications medicine allergies allergy vitals vital physical mental status admission discharge
summary note notes report reports results result laboratory labs lab imaging radiology pathology surgery surgical
emergency clinic hospital nursing nurse doctor physician surgeon therapist attending resident intern consult
consultation referral follow followup chief complaint present illness review systems social family past treatment
treatments therapy therapies procedure procedures symptoms symptom signs risk factors causes prevention prognosis
outlook abstract background objective objectives aim aims purpose methods method materials design setting settings
participants subjects interventions intervention main outcome outcomes measures measurements conclusion conclusions
discussion introduction data analysis study studies trial trials group groups cohort control controls case cases table
figure fig appendix chapter section type stage grade class phase level levels score index scale day days week weeks
month months year years hour hours minute minutes morning evening night heart lung liver kidney brain blood bone skin
chest abdomen pelvis spine neck head eye ear nose throat mouth hand foot arm leg knee hip shoulder back breast colon
cancer disease syndrome disorder infection fever pain cough anemia asthma diabetes hypertension pneumonia stroke tumor
virus bacteria vaccine insulin aspirin ibuprofen acetaminophen tylenol advil aleve lisinopril metformin atorvastatin
simvastatin lipitor warfarin coumadin heparin plavix lasix zoloft prozac xanax ativan valium ambien prednisone
amoxicillin penicillin cipro keflex morphine fentanyl oxycodone percocet vicodin tramadol gabapentin lyrica synthroid
albuterol ventolin flonase singulair nexium prilosec pepcid zantac viagra cialis humira enbrel remicade rituxan
herceptin avastin gleevec tamiflu botox caucasian hispanic african asian european american english french german
spanish italian chinese japanese russian greek latin jewish christian muslim catholic protestant black white male
female man woman men women boy girl child children infant adult elderly mother father parent parents wife husband son
daughter brother sister friend account accounts balance statement transfer payment deposit credit debit card loan
mortgage branch customer client bank interest rate fee invoice amount total date name names address phone email fax
street city state zip country number id bot agent user operator subject re attn
internet web site online inc ltd medline pubmed
medlineplus genetics gene genes home reference national institute institutes health human clinicaltrials admitted admit
discharged seen visa mastercard amex paypal venmo zelle""")

_NAMES_AND_WORDS = _set("""pi sue
unknown bones parts cord beta alpha don block oral tone ray de die carrier tiny prior walls
nail stone rod ring minor lips link von lice valves basic harm canal brown chin vera iris sharp gray chambers bite topic
arch urban bright unique wild desire constant ion aura amelia hurt moles cap bean burns chi glasses delta cousin fair
kit ward pink ridge lie held horn ester wash palm bent mast echo gauge lean rice miles orange cherry wise lies dimple
harden fed pili titin sad marks gross tan runny widen wood palmar bitten bird serine bath era fields parks hay canals
haven vena meta cash master walker sole grant almond pages pons freely candy innocent singleton worth max valid misty
rails grand beer comfort trace judge pace tea rivers dawn singer ban mol peer odd yoga gay crystal lamb flood bell hide
canning love tank pop sandy doll camp loa lace wing pole lacy junior zeta faith hence violet cousins mad cannon cook
flowers skip bridges brands blot strand grey ide bud silver drum beard scarlet toy smart herb binder gamble rose powers
flora moon versa foster doppler math soot tab berry kick colic sever sine plana kink lemon rush vernal rusty cools
merlin roll snow suits wells ivy pant icy combs bush mall dock will mark grace hope joy summer april may june august
chase hunter young long short king price banks page hill woods forest lake field park west east north south best bond
case cross day english french german holland ireland knight law major mason noble north penny pope power prince reed
rich sage star storm sterling temple true virginia georgia carolina madison paris austin dallas sydney florence
charlotte jordan israel china india asia america brooklyn chelsea christian angel royal sunny amber ruby pearl jade
olive daisy lily jasmine heather holly hazel ginger basil dale glen heath cliff rocky rob bill bob pat art gene drew
chuck buck rusty frank ernest jack nick van guy dean earl duke baron bishop abbot chance chip curt jean jay lee more
field little small wall page rock marsh moor green white black weeks blood savage house
home church hall mills miller baker carter potter cooper porter shepherd butler sexton fisher""")
"""Names that are everyday words too, so that one of them alone proves nothing."""

MEDICAL_ENDING = re.compile(
    r"(?:itis|osis|oses|emia|aemia|oma|omas|pathy|pathies|ectomy|otomy|ostomy|plasty|scopy|graphy|gram|algia|trophy"
    r"|plasia|plegia|penia|philia|phobia|uria|rrhea|rrhoea|cele|iasis|ism|ase|ide|ine|ines|olol|pril|sartan|statin"
    r"|mycin|cillin|azole|vir|mab|nib|tinib|zumab|ximab|pine|pam|lam|zepam|tidine|oxacin|cycline|coccus|cocci|bacter"
    r"|ella|virus|viridae|ology|ologist|ological|ectasis|sclerosis|tropic|genic|lytic|ness|ment|tion|tions|sion|ity"
    r"|ities|ance|ence|able|ible|ful|less|ously|ally|ings|ized|ising|izing)$"
)
"""Endings of medical and abstract words; they veto only words that no list of names holds."""

_CITIES = _set("""london paris berlin madrid rome vienna amsterdam brussels zurich geneva stockholm oslo copenhagen
helsinki dublin edinburgh glasgow manchester birmingham liverpool leeds bristol oxford cambridge moscow kiev warsaw
prague budapest athens istanbul lisbon porto barcelona milan naples florence venice turin munich hamburg frankfurt
cologne lyon marseille boston chicago houston dallas austin denver seattle portland atlanta miami orlando tampa
philadelphia pittsburgh cleveland detroit phoenix baltimore toronto montreal vancouver ottawa calgary sydney melbourne
brisbane perth auckland wellington tokyo osaka beijing shanghai shenzhen guangzhou hong kong singapore seoul bangkok
delhi mumbai cairo lagos nairobi johannesburg york angeles vegas america europe africa asia oceania
britain england scotland wales ireland russia taiwan korea vietnam hollywood broadway bay gulf north south east
west hawaii harvard stanford yale usa uk us""")


_INFLECTIONS = ("s", "es", "d", "ed", "ing", "er", "ers", "ly")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnglishLexicon:
    """The word lists as sets of keys."""

    first: frozenset[str] = field(repr=False)
    last: frozenset[str] = field(repr=False)
    words: frozenset[str] = field(repr=False)
    """Ordinary words, among them those that are names too."""
    places: frozenset[str] = field(repr=False)
    streets: frozenset[str] = field(repr=False)
    """Words that end the name of a street."""

    def is_name(self, key: str) -> bool:
        """Whether a list of names holds ``key``."""
        return key in self.first or key in self.last

    def is_inflected(self, key: str) -> bool:
        """Whether ``key`` is an ordinary word with an ending: customers, caller, starting."""
        if not key.endswith(_INFLECTIONS):
            return False
        return any(
            len(key) > len(end) + 2 and key.endswith(end) and key[: -len(end)] in self.words for end in _INFLECTIONS
        )


@cache
def english_lexicon() -> EnglishLexicon:
    """The shipped lists, read once a process."""
    file = resources.files("fedward.common.desensitize.detectors.data").joinpath("names_en.json")
    body = json.loads(file.read_text("ascii"))
    lists = {name: _set(body[name]) for name in ("first", "last", "words", "places", "streets")}
    stop = _NAMES_AND_WORDS | _FUNCTION_WORDS | _MEDICAL_WORDS | MONTHS_AND_DAYS | TERM_HEADS
    return EnglishLexicon(
        first=lists["first"] - _FUNCTION_WORDS,
        last=lists["last"] - _FUNCTION_WORDS,
        words=lists["words"] | stop | ORG_HEADS,
        places=lists["places"] | _CITIES,
        streets=lists["streets"],
    )


__all__ = [
    "CREDENTIALS",
    "english_lexicon",
    "EnglishLexicon",
    "EPONYMS",
    "MEDICAL_ENDING",
    "MONTHS_AND_DAYS",
    "name_key",
    "ORG_HEADS",
    "PARTICLES",
    "SUFFIXES",
    "TERM_HEADS",
    "TITLES",
]
