"""Optimisations that use internals of kombu and Celery: the names that each needs, and its fallback."""

from __future__ import annotations

from bridge.broker.conformance import FastWay, Part

_REDIS_KEYS = (
    Part("kombu.transport.redis:Channel.global_keyprefix"),
    Part("kombu.transport.redis:Channel.pool"),
    Part("kombu.transport.redis:Channel._q_for_pri", 3),
)
_TAKE_OVER_A_QUEUE = (
    Part("kombu:Consumer.cancel_by_queue", 2),
    Part("kombu:Consumer.add_queue", 2),
)
_RECEIVE = (Part("amqp:Connection.drain_events", 1, ("timeout",)),)
_CONFIRMS = (
    Part("amqp:Channel.basic_publish", 2, ("exchange", "routing_key", "mandatory")),
    Part("amqp:Channel.confirm_select", 1),
    *_RECEIVE,
)

REDIS_STENCIL = FastWay(
    name="cutting messages for Redis from a stencil",
    instead="kombu publishes each message, which takes about three times as long",
    setting="bridge_stencil",
    parts=(
        *_REDIS_KEYS,
        Part("kombu.transport.redis:Channel._put", 3),
        Part("kombu.transport.redis:Channel._get_message_priority", 2, ("reverse",)),
        Part("kombu.transport.redis:Channel.decode_body", 3),
        Part("redis:ConnectionPool.get_connection"),
        Part("redis:ConnectionPool.release", 2),
        Part("redis:Connection.send_command", 4),
        Part("redis:Connection.send_packed_command", 2),
        Part("redis:Connection.read_response", 1),
        Part("redis:Connection.disconnect", 1),
    ),
)
KOMBU_STENCIL = FastWay(
    name="cutting message bodies from a stencil",
    instead="Celery makes each message, which takes more than twice as long",
    parts=(),
)
DELIVERY_TAGS = FastWay(
    name="counting delivery tags",
    instead="kombu draws a random one for each message, and publishing takes about twice as long",
    parts=(Part("kombu.transport.virtual:Channel._next_delivery_tag", 1),),
)
CONFIRMS = FastWay(
    name="waiting once for the confirms of many messages",
    instead="the bridge waits for the broker after each message, one round trip each",
    parts=_CONFIRMS,
)
JOINED_ACKS = FastWay(
    name="telling Redis of many messages at once",
    instead="kombu updates Redis separately for each message, and the worker's main process has about twice the work",
    setting="bridge_joined_acks",
    parts=(
        Part("kombu.transport.redis:QoS", 2),
        *(Part(f"kombu.transport.{place}:QoS.append", 3) for place in ("redis", "virtual")),
        *(Part(f"kombu.transport.{place}:QoS.ack", 2) for place in ("redis", "virtual")),
        Part("kombu.transport.redis:QoS.reject", 3),
        Part("kombu.transport.redis:QoS.restore_unacked", 2),
        Part("kombu.transport.redis:QoS.unacked_key"),
        Part("kombu.transport.redis:QoS.unacked_index_key"),
        Part("kombu.transport.redis:Channel.qos"),
        Part("kombu.transport.redis:Channel._create_client", 1),
        Part("kombu.asynchronous:Hub.call_later", 3),
    ),
)
MARKS_ON_REDIS = FastWay(
    name="keeping a mark on Redis",
    instead="a Redis that loses its messages, or a database that is set back, is not noticed",
    parts=(Part("kombu.transport.redis:Channel.global_keyprefix"), Part("kombu.transport.redis:Channel.pool")),
)
JOINED_CALLBACKS = FastWay(
    name="publishing many callbacks in one message",
    instead="each is a message of its own, about 0.4 ms of a pool process",
    setting="bridge_joined_callbacks",
    parts=(
        Part("celery.app.task:Context.is_eager"),
        Part("celery.app.task:Context.called_directly"),
    ),
)
REDIS_COLLECTOR = FastWay(
    name="collecting callbacks from Redis",
    instead="each callback runs as a task of its own, which takes some ten times as long",
    setting="bridge_collector",
    parts=(
        *_REDIS_KEYS,
        Part("kombu.transport.redis:Channel.priority_steps"),
        Part("kombu.transport.redis:Channel.socket_timeout"),
        *_TAKE_OVER_A_QUEUE,
    ),
)
AMQP_COLLECTOR = FastWay(
    name="collecting callbacks from RabbitMQ",
    instead="each callback runs as a task of its own, which takes some ten times as long",
    setting="bridge_collector",
    parts=(
        *_CONFIRMS,
        *_TAKE_OVER_A_QUEUE,
        Part("amqp.serialization:PROPERTY_CLASSES"),
        Part("amqp:Message._serialize_properties", 1),
        Part("amqp:Channel.auto_decode"),
        Part("amqp:Channel.basic_ack", 2, ("multiple",)),
        Part("amqp:Channel.basic_qos", 4),
        Part("amqp:Channel.basic_consume", 2, ("callback",)),
        Part("amqp:Connection.heartbeat_tick", 1),
    ),
)
GUARD = FastWay(
    name="keeping unreadable messages from the bridge's worker",
    instead="one that a stranger puts on the queue of ticks, or broadcasts, may end the worker",
    parts=(
        Part("kombu.transport.redis:Channel._receive_one", 2),
        Part("kombu.transport.redis:Transport.create_channel", 2),
        Part("kombu.transport.redis:Transport.channels"),
        Part("celery.worker.consumer.gossip:Gossip.get_consumers", 2),
        Part("kombu.transport.redis:Channel.client"),
        Part("kombu.transport.redis:Channel.sep"),
        Part("kombu.transport.redis:Channel.global_keyprefix"),
        Part("kombu.transport.redis:Channel.pool"),
        Part("amqp.serialization:PROPERTY_CLASSES"),
        Part("amqp:Message._serialize_properties", 1),
        Part("celery.worker.consumer:Consumer.create_task_handler", 1),
    ),
)
ALL = (
    REDIS_STENCIL,
    KOMBU_STENCIL,
    DELIVERY_TAGS,
    CONFIRMS,
    JOINED_ACKS,
    MARKS_ON_REDIS,
    JOINED_CALLBACKS,
    REDIS_COLLECTOR,
    AMQP_COLLECTOR,
    GUARD,
)
