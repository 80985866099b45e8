from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_TYPE_UNSPECIFIED: _ClassVar[MessageType]
    PLAN_OFFER: _ClassVar[MessageType]
    PLAN_ACCEPT: _ClassVar[MessageType]
    REFUSAL: _ClassVar[MessageType]
    TRAIN: _ClassVar[MessageType]
    TRAIN_REPLY: _ClassVar[MessageType]
    RUN_END: _ClassVar[MessageType]
    RUN_END_REPLY: _ClassVar[MessageType]
    PREKEY: _ClassVar[MessageType]
    PREKEY_REPLY: _ClassVar[MessageType]
    CONFIRM: _ClassVar[MessageType]
    CONFIRM_REPLY: _ClassVar[MessageType]
    UNMASK: _ClassVar[MessageType]
    UNMASK_REPLY: _ClassVar[MessageType]
    READY: _ClassVar[MessageType]
    MASK: _ClassVar[MessageType]
    GRAPH: _ClassVar[MessageType]
    GRAPH_REPLY: _ClassVar[MessageType]
    PENDING: _ClassVar[MessageType]
    COLLECT: _ClassVar[MessageType]
MESSAGE_TYPE_UNSPECIFIED: MessageType
PLAN_OFFER: MessageType
PLAN_ACCEPT: MessageType
REFUSAL: MessageType
TRAIN: MessageType
TRAIN_REPLY: MessageType
RUN_END: MessageType
RUN_END_REPLY: MessageType
PREKEY: MessageType
PREKEY_REPLY: MessageType
CONFIRM: MessageType
CONFIRM_REPLY: MessageType
UNMASK: MessageType
UNMASK_REPLY: MessageType
READY: MessageType
MASK: MessageType
GRAPH: MessageType
GRAPH_REPLY: MessageType
PENDING: MessageType
COLLECT: MessageType

class Envelope(_message.Message):
    __slots__ = ("version", "type", "body", "signature", "vector", "witness")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WITNESS_FIELD_NUMBER: _ClassVar[int]
    version: int
    type: MessageType
    body: bytes
    signature: bytes
    vector: bytes
    witness: bytes
    def __init__(self, version: _Optional[int] = ..., type: _Optional[_Union[MessageType, str]] = ..., body: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., vector: _Optional[bytes] = ..., witness: _Optional[bytes] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("run_id", "roster_hash", "plan_digest", "profile", "round", "attempt", "sender")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROSTER_HASH_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    roster_hash: bytes
    plan_digest: bytes
    profile: str
    round: int
    attempt: int
    sender: str
    def __init__(self, run_id: _Optional[bytes] = ..., roster_hash: _Optional[bytes] = ..., plan_digest: _Optional[bytes] = ..., profile: _Optional[str] = ..., round: _Optional[int] = ..., attempt: _Optional[int] = ..., sender: _Optional[str] = ...) -> None: ...

class HeadStatement(_message.Message):
    __slots__ = ("site_id", "ledger_id", "run_id", "round", "attempt", "head", "signature")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    LEDGER_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    ledger_id: bytes
    run_id: bytes
    round: int
    attempt: int
    head: bytes
    signature: bytes
    def __init__(self, site_id: _Optional[str] = ..., ledger_id: _Optional[bytes] = ..., run_id: _Optional[bytes] = ..., round: _Optional[int] = ..., attempt: _Optional[int] = ..., head: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class HeadSet(_message.Message):
    __slots__ = ("run_id", "number", "statements", "signature")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    number: int
    statements: _containers.RepeatedCompositeFieldContainer[HeadStatement]
    signature: bytes
    def __init__(self, run_id: _Optional[bytes] = ..., number: _Optional[int] = ..., statements: _Optional[_Iterable[_Union[HeadStatement, _Mapping]]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class HeadConfirmation(_message.Message):
    __slots__ = ("site_id", "signature")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    signature: bytes
    def __init__(self, site_id: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class HeadQuestion(_message.Message):
    __slots__ = ("subject", "nonce")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    nonce: bytes
    def __init__(self, subject: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class HeadAnswer(_message.Message):
    __slots__ = ("subject", "witness", "nonce", "statement", "signature")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    WITNESS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    witness: str
    nonce: bytes
    statement: HeadStatement
    signature: bytes
    def __init__(self, subject: _Optional[str] = ..., witness: _Optional[str] = ..., nonce: _Optional[bytes] = ..., statement: _Optional[_Union[HeadStatement, _Mapping]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Witness(_message.Message):
    __slots__ = ("head", "nonce", "confirmed_number", "confirmation", "heads", "confirmations", "confirmations_number", "questions", "answers")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATIONS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    head: HeadStatement
    nonce: bytes
    confirmed_number: int
    confirmation: bytes
    heads: HeadSet
    confirmations: _containers.RepeatedCompositeFieldContainer[HeadConfirmation]
    confirmations_number: int
    questions: _containers.RepeatedCompositeFieldContainer[HeadQuestion]
    answers: _containers.RepeatedCompositeFieldContainer[HeadAnswer]
    def __init__(self, head: _Optional[_Union[HeadStatement, _Mapping]] = ..., nonce: _Optional[bytes] = ..., confirmed_number: _Optional[int] = ..., confirmation: _Optional[bytes] = ..., heads: _Optional[_Union[HeadSet, _Mapping]] = ..., confirmations: _Optional[_Iterable[_Union[HeadConfirmation, _Mapping]]] = ..., confirmations_number: _Optional[int] = ..., questions: _Optional[_Iterable[_Union[HeadQuestion, _Mapping]]] = ..., answers: _Optional[_Iterable[_Union[HeadAnswer, _Mapping]]] = ...) -> None: ...

class PlanOffer(_message.Message):
    __slots__ = ("header", "plan")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    header: Header
    plan: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., plan: _Optional[bytes] = ...) -> None: ...

class PlanAccept(_message.Message):
    __slots__ = ("header", "request_hash", "transport_key", "signature", "graph_commitment", "graph_signature", "desensitization_policy")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    GRAPH_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DESENSITIZATION_POLICY_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    transport_key: bytes
    signature: bytes
    graph_commitment: bytes
    graph_signature: bytes
    desensitization_policy: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ..., transport_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., graph_commitment: _Optional[bytes] = ..., graph_signature: _Optional[bytes] = ..., desensitization_policy: _Optional[bytes] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("header", "request_hash", "code", "rule")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    code: str
    rule: str
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ..., code: _Optional[str] = ..., rule: _Optional[str] = ...) -> None: ...

class Train(_message.Message):
    __slots__ = ("header", "model_digest", "layout_digest", "cohort", "min_survivors", "num_coordinates", "scale_log2", "clamp_log2", "vector_hash", "clip_norm", "previous_sum_hash", "assumed_colluders", "graph_hash", "bundles", "packets", "next", "previous", "bundle_digests")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    MIN_SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    NUM_COORDINATES_FIELD_NUMBER: _ClassVar[int]
    SCALE_LOG2_FIELD_NUMBER: _ClassVar[int]
    CLAMP_LOG2_FIELD_NUMBER: _ClassVar[int]
    VECTOR_HASH_FIELD_NUMBER: _ClassVar[int]
    CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SUM_HASH_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_COLLUDERS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_HASH_FIELD_NUMBER: _ClassVar[int]
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    model_digest: bytes
    layout_digest: bytes
    cohort: _containers.RepeatedScalarFieldContainer[str]
    min_survivors: int
    num_coordinates: int
    scale_log2: int
    clamp_log2: int
    vector_hash: bytes
    clip_norm: float
    previous_sum_hash: bytes
    assumed_colluders: int
    graph_hash: bytes
    bundles: _containers.RepeatedCompositeFieldContainer[Bundle]
    packets: _containers.RepeatedScalarFieldContainer[bytes]
    next: Target
    previous: OpenedRound
    bundle_digests: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., model_digest: _Optional[bytes] = ..., layout_digest: _Optional[bytes] = ..., cohort: _Optional[_Iterable[str]] = ..., min_survivors: _Optional[int] = ..., num_coordinates: _Optional[int] = ..., scale_log2: _Optional[int] = ..., clamp_log2: _Optional[int] = ..., vector_hash: _Optional[bytes] = ..., clip_norm: _Optional[float] = ..., previous_sum_hash: _Optional[bytes] = ..., assumed_colluders: _Optional[int] = ..., graph_hash: _Optional[bytes] = ..., bundles: _Optional[_Iterable[_Union[Bundle, _Mapping]]] = ..., packets: _Optional[_Iterable[bytes]] = ..., next: _Optional[_Union[Target, _Mapping]] = ..., previous: _Optional[_Union[OpenedRound, _Mapping]] = ..., bundle_digests: _Optional[_Iterable[bytes]] = ...) -> None: ...

class TrainReply(_message.Message):
    __slots__ = ("header", "cohort_digest", "vector_hash", "proof", "complaints", "next")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    COHORT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    VECTOR_HASH_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    COMPLAINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    header: Header
    cohort_digest: bytes
    vector_hash: bytes
    proof: bytes
    complaints: _containers.RepeatedScalarFieldContainer[str]
    next: Dealing
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., cohort_digest: _Optional[bytes] = ..., vector_hash: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., complaints: _Optional[_Iterable[str]] = ..., next: _Optional[_Union[Dealing, _Mapping]] = ...) -> None: ...

class RunEnd(_message.Message):
    __slots__ = ("header", "model_digest", "vector_hash", "previous")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    VECTOR_HASH_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    model_digest: bytes
    vector_hash: bytes
    previous: OpenedRound
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., model_digest: _Optional[bytes] = ..., vector_hash: _Optional[bytes] = ..., previous: _Optional[_Union[OpenedRound, _Mapping]] = ...) -> None: ...

class RunEndReply(_message.Message):
    __slots__ = ("header", "events", "model_digest", "code")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    header: Header
    events: bytes
    model_digest: bytes
    code: str
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., events: _Optional[bytes] = ..., model_digest: _Optional[bytes] = ..., code: _Optional[str] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("run_id", "round", "attempt", "roster_hash", "holders_hash", "mask_key", "commitment", "shares_hash", "signature")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ROSTER_HASH_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_HASH_FIELD_NUMBER: _ClassVar[int]
    MASK_KEY_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    SHARES_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    round: int
    attempt: int
    roster_hash: bytes
    holders_hash: bytes
    mask_key: bytes
    commitment: bytes
    shares_hash: bytes
    signature: bytes
    def __init__(self, run_id: _Optional[bytes] = ..., round: _Optional[int] = ..., attempt: _Optional[int] = ..., roster_hash: _Optional[bytes] = ..., holders_hash: _Optional[bytes] = ..., mask_key: _Optional[bytes] = ..., commitment: _Optional[bytes] = ..., shares_hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Dealing(_message.Message):
    __slots__ = ("bundle", "packets")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    bundle: Bundle
    packets: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, bundle: _Optional[_Union[Bundle, _Mapping]] = ..., packets: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("site_id", "transport_key", "signature")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    transport_key: bytes
    signature: bytes
    def __init__(self, site_id: _Optional[str] = ..., transport_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("round", "attempt", "threshold", "holders")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    round: int
    attempt: int
    threshold: int
    holders: _containers.RepeatedCompositeFieldContainer[Holder]
    def __init__(self, round: _Optional[int] = ..., attempt: _Optional[int] = ..., threshold: _Optional[int] = ..., holders: _Optional[_Iterable[_Union[Holder, _Mapping]]] = ...) -> None: ...

class Prekey(_message.Message):
    __slots__ = ("header", "target", "reveals")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REVEALS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    target: Target
    reveals: _containers.RepeatedCompositeFieldContainer[GraphReveal]
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., reveals: _Optional[_Iterable[_Union[GraphReveal, _Mapping]]] = ...) -> None: ...

class GraphMember(_message.Message):
    __slots__ = ("site_id", "commitment", "signature")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    commitment: bytes
    signature: bytes
    def __init__(self, site_id: _Optional[str] = ..., commitment: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("header", "members")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    members: _containers.RepeatedCompositeFieldContainer[GraphMember]
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., members: _Optional[_Iterable[_Union[GraphMember, _Mapping]]] = ...) -> None: ...

class GraphReply(_message.Message):
    __slots__ = ("header", "request_hash", "shown")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    shown: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ..., shown: _Optional[bytes] = ...) -> None: ...

class GraphReveal(_message.Message):
    __slots__ = ("site_id", "shown", "commitment")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    shown: bytes
    commitment: bytes
    def __init__(self, site_id: _Optional[str] = ..., shown: _Optional[bytes] = ..., commitment: _Optional[bytes] = ...) -> None: ...

class PrekeyReply(_message.Message):
    __slots__ = ("header", "request_hash", "dealing")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    DEALING_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    dealing: Dealing
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ..., dealing: _Optional[_Union[Dealing, _Mapping]] = ...) -> None: ...

class Survivor(_message.Message):
    __slots__ = ("site_id", "vector_hash", "proof")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_HASH_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    vector_hash: bytes
    proof: bytes
    def __init__(self, site_id: _Optional[str] = ..., vector_hash: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class OpenedRound(_message.Message):
    __slots__ = ("round", "attempt", "model_digest", "previous_sum_hash", "holders_hash", "min_survivors", "assumed_colluders", "graph_hash", "clip_norm", "cohort", "bundle_digests", "survivors")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SUM_HASH_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_HASH_FIELD_NUMBER: _ClassVar[int]
    MIN_SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_COLLUDERS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_HASH_FIELD_NUMBER: _ClassVar[int]
    CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    round: int
    attempt: int
    model_digest: bytes
    previous_sum_hash: bytes
    holders_hash: bytes
    min_survivors: int
    assumed_colluders: int
    graph_hash: bytes
    clip_norm: float
    cohort: _containers.RepeatedScalarFieldContainer[str]
    bundle_digests: _containers.RepeatedScalarFieldContainer[bytes]
    survivors: _containers.RepeatedCompositeFieldContainer[Survivor]
    def __init__(self, round: _Optional[int] = ..., attempt: _Optional[int] = ..., model_digest: _Optional[bytes] = ..., previous_sum_hash: _Optional[bytes] = ..., holders_hash: _Optional[bytes] = ..., min_survivors: _Optional[int] = ..., assumed_colluders: _Optional[int] = ..., graph_hash: _Optional[bytes] = ..., clip_norm: _Optional[float] = ..., cohort: _Optional[_Iterable[str]] = ..., bundle_digests: _Optional[_Iterable[bytes]] = ..., survivors: _Optional[_Iterable[_Union[Survivor, _Mapping]]] = ...) -> None: ...

class Confirm(_message.Message):
    __slots__ = ("header", "cohort_digest", "survivors")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    COHORT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    cohort_digest: bytes
    survivors: _containers.RepeatedCompositeFieldContainer[Survivor]
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., cohort_digest: _Optional[bytes] = ..., survivors: _Optional[_Iterable[_Union[Survivor, _Mapping]]] = ...) -> None: ...

class ConfirmReply(_message.Message):
    __slots__ = ("header", "cohort_digest", "survivors_hash", "signature")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    COHORT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    header: Header
    cohort_digest: bytes
    survivors_hash: bytes
    signature: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., cohort_digest: _Optional[bytes] = ..., survivors_hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Confirmation(_message.Message):
    __slots__ = ("site_id", "signature")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    signature: bytes
    def __init__(self, site_id: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Unmask(_message.Message):
    __slots__ = ("header", "cohort_digest", "survivors", "confirmations", "next")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    COHORT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    header: Header
    cohort_digest: bytes
    survivors: _containers.RepeatedCompositeFieldContainer[Survivor]
    confirmations: _containers.RepeatedCompositeFieldContainer[Confirmation]
    next: Target
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., cohort_digest: _Optional[bytes] = ..., survivors: _Optional[_Iterable[_Union[Survivor, _Mapping]]] = ..., confirmations: _Optional[_Iterable[_Union[Confirmation, _Mapping]]] = ..., next: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class UnmaskReply(_message.Message):
    __slots__ = ("header", "survivors_hash", "seed_shares", "key_shares", "next")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    SEED_SHARES_FIELD_NUMBER: _ClassVar[int]
    KEY_SHARES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    header: Header
    survivors_hash: bytes
    seed_shares: _containers.RepeatedScalarFieldContainer[bytes]
    key_shares: _containers.RepeatedScalarFieldContainer[bytes]
    next: Dealing
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., survivors_hash: _Optional[bytes] = ..., seed_shares: _Optional[_Iterable[bytes]] = ..., key_shares: _Optional[_Iterable[bytes]] = ..., next: _Optional[_Union[Dealing, _Mapping]] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("header", "request_hash", "dealing")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    DEALING_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    dealing: Dealing
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ..., dealing: _Optional[_Union[Dealing, _Mapping]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("header", "model_digest", "layout_digest", "cohort", "min_survivors", "num_coordinates", "scale_log2", "clamp_log2", "previous_sum_hash", "assumed_colluders", "graph_hash", "bundles")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    MIN_SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    NUM_COORDINATES_FIELD_NUMBER: _ClassVar[int]
    SCALE_LOG2_FIELD_NUMBER: _ClassVar[int]
    CLAMP_LOG2_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SUM_HASH_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_COLLUDERS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_HASH_FIELD_NUMBER: _ClassVar[int]
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    header: Header
    model_digest: bytes
    layout_digest: bytes
    cohort: _containers.RepeatedScalarFieldContainer[str]
    min_survivors: int
    num_coordinates: int
    scale_log2: int
    clamp_log2: int
    previous_sum_hash: bytes
    assumed_colluders: int
    graph_hash: bytes
    bundles: _containers.RepeatedCompositeFieldContainer[Bundle]
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., model_digest: _Optional[bytes] = ..., layout_digest: _Optional[bytes] = ..., cohort: _Optional[_Iterable[str]] = ..., min_survivors: _Optional[int] = ..., num_coordinates: _Optional[int] = ..., scale_log2: _Optional[int] = ..., clamp_log2: _Optional[int] = ..., previous_sum_hash: _Optional[bytes] = ..., assumed_colluders: _Optional[int] = ..., graph_hash: _Optional[bytes] = ..., bundles: _Optional[_Iterable[_Union[Bundle, _Mapping]]] = ...) -> None: ...

class Pending(_message.Message):
    __slots__ = ("header", "request_hash")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ...) -> None: ...

class Collect(_message.Message):
    __slots__ = ("header", "request_hash")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ...) -> None: ...
