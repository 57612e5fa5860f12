"""What stands between hosts, without links: routers (`forwarding.py`), middleboxes, addresses."""
