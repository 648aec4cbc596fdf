"""Settings of Celery that `docs/celery-settings.md` calls honoured or harmless are: real workers have them (G10)."""

from __future__ import annotations

from typing import Any

import celery
import pytest

from tests.whole.shop import Shop

EVENTS = 30

# Meant for the app's own tasks: the pump lives longer than a second, and no result backend is waited for.
FOR_ALL_TASKS = {
    "task_default_rate_limit": "1/h",
    "task_annotations": {"*": {"priority": 9}, "bridge.pump": {"rate_limit": "1/h", "time_limit": 1}},
    "task_default_priority": 5,
    "task_time_limit": 2,
    "task_soft_time_limit": 1,
    "task_acks_late": True,
    "task_acks_on_failure_or_timeout": False,
    "task_reject_on_worker_lost": True,
    "task_track_started": True,
    "task_store_errors_even_if_ignored": True,
    "task_store_eager_result": True,
    "result_backend": "redis://127.0.0.1:1/0",  # nothing listens there
}
# What messages look like, and where they go.
MESSAGES = {
    "task_protocol": 1,
    "task_compression": "gzip",
    "task_serializer": "yaml",
    "accept_content": ["json", "yaml"],
    "task_default_delivery_mode": 1,
    "task_send_sent_event": True,
    "task_inherit_parent_priority": True,
    "task_publish_retry": False,
    "task_queues": {"bridge": {}, "celery": {}, "plain": {}, "none": {}},
    "task_create_missing_queues": False,
    "task_default_exchange": "shop",
    "task_default_exchange_type": "topic",
    "task_routes": {"bridge.*": {"queue": "none"}, "*": {"queue": "none"}},
    "enable_utc": False,
    "timezone": "Asia/Kolkata",
    "broker_pool_limit": 0,
}
# How a worker works.
WORKERS = {
    "worker_max_tasks_per_child": 1,
    "worker_max_memory_per_child": 1,
    "worker_prefetch_multiplier": 1,
    "worker_disable_rate_limits": True,
    "worker_enable_remote_control": False,
    "worker_send_task_events": True,
    "worker_pool_restarts": True,
    "worker_direct": True,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "worker_deduplicate_successful_tasks": True,
    "worker_disable_prefetch": True,
    "worker_redirect_stdouts": False,
    "worker_hijack_root_logger": False,
    "event_queue_prefix": "shop-events",
    "event_exchange": "shop-events",
    "control_exchange": "shop-control",
    "broker_pool_limit": 1,
    "broker_heartbeat": 0,
    "beat_max_loop_interval": 1,
    "beat_sync_every": 1,
}
ON_REDIS = {
    "broker_transport_options": {
        "global_keyprefix": "tenant-",
        "fanout_prefix": "/shop-{db}.",
        "fanout_patterns": False,
        "sep": ":",
        "priority_steps": [3, 6, 9],
        "queue_order_strategy": "priority",
        "socket_timeout": 0.5,
        "socket_keepalive": True,
        "retry_on_timeout": True,
        "health_check_interval": 1,
        "max_connections": 20,
        "client_name": "shop",
        "visibility_timeout": 30,
        "unacked_key": "hands",
        "unacked_index_key": "hands-index",
        "unacked_mutex_key": "hands-mutex",
        "ack_emulation": True,
    }
}
ON_RABBITMQ = {
    "task_queue_max_priority": 10,
    "task_default_priority": 5,
    "broker_login_method": "PLAIN",
    "broker_transport_options": {
        "confirm_publish": True,
        "client_properties": {"shop": "yes"},
        "read_timeout": 30,
        "write_timeout": 30,
        "frame_max": 65536,
        "max_retries": 3,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.2,
    },
}
QUORUM_QUEUES = {
    "task_default_queue_type": "quorum",
    "task_create_missing_queue_type": "quorum",
    "task_create_missing_queue_exchange_type": "topic",
    "broker_native_delayed_delivery_queue_type": "quorum",
}

# What none of the others has.
REST = {
    "accept_content": ["json", "yaml"],
    "beat_cron_starting_deadline": 5,
    "beat_enable_remote_control": True,
    "beat_max_loop_interval": 300,
    "beat_scheduler": "celery.beat:Scheduler",
    "broker_channel_error_retry": True,
    "broker_connection_max_retries": 0,
    "broker_connection_retry": False,
    "broker_connection_timeout": 3,
    "broker_failover_strategy": "shuffle",
    "broker_heartbeat": 2,
    "broker_heartbeat_checkrate": 7.0,
    "broker_pool_acquire_timeout": 1.0,
    "control_queue_expires": 5.0,
    "control_queue_ttl": 5.0,
    "event_queue_expires": 3.0,
    "event_queue_ttl": 1.0,
    "event_serializer": "yaml",
    "imports": ["decimal"],
    "include": ["fractions"],
    "result_expires": 1,
    "result_extended": True,
    "result_serializer": "yaml",
    "task_allow_error_cb_on_chord_header": True,
    "task_compression": "bzip2",
    "task_default_routing_key": "elsewhere",
    "task_ignore_result": True,
    "task_publish_retry_policy": {"max_retries": 0},
    "task_remote_tracebacks": True,
    "task_repr_maxlevels": 0,
    "task_retry_on_worker_lost": True,
    "timezone": "Australia/Lord_Howe",
    "worker_concurrency": 1,
    "worker_detect_quorum_queues": False,
    "worker_enable_prefetch_count_reduction": False,
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_eta_task_limit": 1,
    "worker_log_color": True,
    "worker_log_datefmt": "%H",
    "worker_log_format": "%(asctime)s|%(message)s",
    "worker_lost_wait": 1.0,
    "worker_pool_putlocks": False,
    "worker_proc_alive_timeout": 20.0,
    "worker_redirect_stdouts_level": "ERROR",
    "worker_soft_shutdown_timeout": 3,
    "worker_task_log_format": "%(task_id)s|%(task_name)s|%(message)s",
    "worker_timer_precision": 0.1,
}

SPAWNED = {"worker_pool_start_method": "spawn"}

CASES = [
    ("redis", FOR_ALL_TASKS),
    ("redis", MESSAGES),
    ("redis", WORKERS),
    ("redis", ON_REDIS),
    ("redis", REST),
    ("redis", SPAWNED),
    ("amqp", FOR_ALL_TASKS),
    ("amqp", MESSAGES),
    ("amqp", WORKERS),
    ("amqp", ON_RABBITMQ),
    ("amqp", QUORUM_QUEUES),
]
NAMES = ["redis-tasks", "redis-messages", "redis-workers", "redis-options", "redis-rest", "redis-spawned"]
NAMES += ["amqp-tasks", "amqp-messages", "amqp-workers", "amqp-options", "amqp-quorum"]
ALWAYS = {"redis-options"}  # the others: `make slow`
CHOSEN = [
    pytest.param(*case, id=name, marks=[] if name in ALWAYS else [pytest.mark.slow])
    for name, case in zip(NAMES, CASES, strict=True)
]


@pytest.mark.parametrize(("broker", "settings"), CHOSEN)
def test_g10_the_loop_runs_where_bridge_and_fleet_share_an_app_with_such_settings(
    shop: Shop, settings: dict[str, Any]
) -> None:
    if settings is QUORUM_QUEUES and celery.VERSION < (5, 6):
        pytest.skip("Celery makes quorum queues since 5.5, missing ones since 5.6")
    shop.client("installed", queue="celery")
    shop.client("plain", queue="plain")
    shop.worker("installed", "celery", settings=settings)
    shop.worker("plain", "plain", settings=settings, PLAIN="yes")
    it = shop.worker("bridge", "bridge", settings=settings, beat=True)
    shop.publish(EVENTS, keys=3)
    shop.wait_until_all_done(EVENTS, "installed", "plain")
    assert shop.handled().keys() == set(range(1, EVENTS + 1))
    assert "imeLimitExceeded" not in it.log and "time limit" not in it.log
