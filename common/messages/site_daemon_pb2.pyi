from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SiteState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SITE_STATE_UNSPECIFIED: _ClassVar[SiteState]
    LOCKED: _ClassVar[SiteState]
    LOADING: _ClassVar[SiteState]
    READY: _ClassVar[SiteState]
    DRAINING: _ClassVar[SiteState]
SITE_STATE_UNSPECIFIED: SiteState
LOCKED: SiteState
LOADING: SiteState
READY: SiteState
DRAINING: SiteState

class Part(_message.Message):
    __slots__ = ("data", "total_bytes")
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    total_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthReply(_message.Message):
    __slots__ = ("state", "max_message_bytes")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    state: SiteState
    max_message_bytes: int
    def __init__(self, state: _Optional[_Union[SiteState, str]] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("state", "num_in_work", "num_open", "num_kept", "kept_bytes", "num_refused_peers")
    STATE_FIELD_NUMBER: _ClassVar[int]
    NUM_IN_WORK_FIELD_NUMBER: _ClassVar[int]
    NUM_OPEN_FIELD_NUMBER: _ClassVar[int]
    NUM_KEPT_FIELD_NUMBER: _ClassVar[int]
    KEPT_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUM_REFUSED_PEERS_FIELD_NUMBER: _ClassVar[int]
    state: SiteState
    num_in_work: int
    num_open: int
    num_kept: int
    kept_bytes: int
    num_refused_peers: int
    def __init__(self, state: _Optional[_Union[SiteState, str]] = ..., num_in_work: _Optional[int] = ..., num_open: _Optional[int] = ..., num_kept: _Optional[int] = ..., kept_bytes: _Optional[int] = ..., num_refused_peers: _Optional[int] = ...) -> None: ...
