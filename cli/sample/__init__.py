"""The sample: a chain of five sites, one for each clinic programme, its patients, and a course booked for each.

`protocols/` holds the programmes as the API takes them, `sites/` each site with its rooms, staff and prices.
"""
