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
MESSAGE_TYPE_UNSPECIFIED: MessageType
PLAN_OFFER: MessageType
PLAN_ACCEPT: MessageType
REFUSAL: MessageType
TRAIN: MessageType
TRAIN_REPLY: MessageType
RUN_END: MessageType
RUN_END_REPLY: MessageType

class Envelope(_message.Message):
    __slots__ = ("version", "type", "body", "signature", "vector")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    version: int
    type: MessageType
    body: bytes
    signature: bytes
    vector: bytes
    def __init__(self, version: _Optional[int] = ..., type: _Optional[_Union[MessageType, str]] = ..., body: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., vector: _Optional[bytes] = ...) -> None: ...

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

class PlanOffer(_message.Message):
    __slots__ = ("header", "plan")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    header: Header
    plan: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., plan: _Optional[bytes] = ...) -> None: ...

class PlanAccept(_message.Message):
    __slots__ = ("header", "request_hash")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    header: Header
    request_hash: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., request_hash: _Optional[bytes] = ...) -> None: ...

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
    __slots__ = ("header", "model_digest", "layout_digest", "cohort", "min_survivors", "num_coordinates", "scale_log2", "clamp_log2", "vector_hash", "clip_norm")
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
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., model_digest: _Optional[bytes] = ..., layout_digest: _Optional[bytes] = ..., cohort: _Optional[_Iterable[str]] = ..., min_survivors: _Optional[int] = ..., num_coordinates: _Optional[int] = ..., scale_log2: _Optional[int] = ..., clamp_log2: _Optional[int] = ..., vector_hash: _Optional[bytes] = ..., clip_norm: _Optional[float] = ...) -> None: ...

class TrainReply(_message.Message):
    __slots__ = ("header", "cohort_digest", "vector_hash")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    COHORT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    VECTOR_HASH_FIELD_NUMBER: _ClassVar[int]
    header: Header
    cohort_digest: bytes
    vector_hash: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., cohort_digest: _Optional[bytes] = ..., vector_hash: _Optional[bytes] = ...) -> None: ...

class RunEnd(_message.Message):
    __slots__ = ("header", "model_digest")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    header: Header
    model_digest: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., model_digest: _Optional[bytes] = ...) -> None: ...

class RunEndReply(_message.Message):
    __slots__ = ("header", "events")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    events: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., events: _Optional[bytes] = ...) -> None: ...
