"""A run as one HTML page: everything in it, nothing loaded from elsewhere. Pure.

chart, scales   one plot as SVG, from values to places
view            what all plots share: the course on its time axis, the marks
*_chart         one plot each
figures         the plots with their titles and legends
tables          pieces of HTML; what is not ours is escaped here
sections        the words and tables; requests: the one by request
page            all of it, with style.css and hover.js

It takes a `Run` and gives text. It may not ask a cluster, read or write a file but those two of its own, or look at a clock:
the same run is the same page.
"""
